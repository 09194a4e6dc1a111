import { TinsmithError } from '#proto/errors.ts';
import { runProgram } from './program.ts';

/** So many files go to one run of setfattr. */
const BATCH = 4096;

/**
 * Sets extended attributes by setfattr(1), which reads a list of them: Node has no such call, and starting a program for each
 * file would take longer than unpacking it. Links are not followed.
 */
export class ExtendedAttributes {
  readonly #device: string;
  readonly #signal: AbortSignal;
  #list: string[] = [];

  constructor(device: string, signal: AbortSignal) {
    this.#device = device;
    this.#signal = signal;
  }

  /** `place` is absolute, one character a byte; its links were resolved. */
  async add(place: string, attributes: ReadonlyMap<string, Buffer>): Promise<void> {
    if (attributes.size === 0) return;
    const lines = [...attributes].map(([name, value]) => `${escaped(name)}${valueText(value)}`);
    this.#list.push([`# file: ${escaped(place)}`, ...lines, ''].join('\n'));
    if (this.#list.length >= BATCH) await this.flush();
  }

  /** Throws `write_failed`, `command_failed` when there is no setfattr. */
  async flush(): Promise<void> {
    if (this.#list.length === 0) return;
    const input = `${this.#list.join('\n')}\n`;
    this.#list = [];
    const result = await runProgram({ argv: ['setfattr', '-h', '--restore=-'], input, signal: this.#signal });
    if (result.exitCode === 0) return;
    const said = result.lastLines.join(' | ').slice(-500);
    throw new TinsmithError('write_failed', `cannot set extended attributes on ${this.#device}: ${said}`);
  }
}

/** As getfattr(1) prints them: everything but plain characters is a backslash and three octal digits. */
function escaped(text: string): string {
  return text.replaceAll(/[^!-<>-[\]-~]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
}

function valueText(value: Buffer): string {
  return value.length === 0 ? '=""' : `=0x${value.toString('hex')}`;
}
