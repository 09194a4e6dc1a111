import { TinsmithError } from '#proto/errors.ts';
import { runProgram } from './program.ts';

/** So many files, and about as many characters of their attributes, go to one run of setfattr. */
const BATCH = 4096;
const BATCH_CHARACTERS = 8 << 20;

/**
 * Sets extended attributes by setfattr(1), which reads a list of them: Node has no such call, and starting a program for each
 * file would take longer than unpacking it. Links are not followed.
 */
export class ExtendedAttributes {
  readonly #device: string;
  readonly #signal: AbortSignal;
  /** By place: what waits for the next run. */
  #waiting = new Map<string, string>();
  #characters = 0;

  constructor(device: string, signal: AbortSignal) {
    this.#device = device;
    this.#signal = signal;
  }

  /** `place` is absolute, one character a byte; its links were resolved. */
  async add(place: string, attributes: ReadonlyMap<string, Buffer>): Promise<void> {
    if (attributes.size === 0) return;
    const lines = [...attributes].map(([name, value]) => `${escaped(name)}${valueText(value)}`);
    const text = [`# file: ${escaped(place)}`, ...lines, ''].join('\n');
    this.#waiting.set(place, text);
    this.#characters += text.length;
    if (this.#waiting.size >= BATCH || this.#characters >= BATCH_CHARACTERS) await this.flush();
  }

  /**
   * To be called before what is there is removed: something else may come to its place, and must not get its attributes. `links`: how
   * many names it has; under the others it stays, and keeps them.
   */
  async leave(place: string, links: number): Promise<void> {
    if (!this.#waiting.has(place)) return;
    if (links > 1) await this.flush();
    else this.#waiting.delete(place);
  }

  /** Throws `write_failed`, `command_failed` when there is no setfattr. */
  async flush(): Promise<void> {
    if (this.#waiting.size === 0) return;
    const input = `${[...this.#waiting.values()].join('\n')}\n`;
    this.#waiting = new Map();
    this.#characters = 0;
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
