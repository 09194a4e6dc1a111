import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';

export interface WaitOptions {
  /** After this the wait fails and shows the console's end. */
  readonly timeoutMs: number;
  /** Only what came after this position counts; see ConsoleLog.position. Default 0: everything since power-on. */
  readonly from?: number;
  readonly signal?: AbortSignal;
}

/** Escape sequences of terminals (ECMA-48): firmware and boot loaders draw with them. */
// oxlint-disable-next-line eslint/no-control-regex -- the escape character is what is looked for
const ESCAPES = /\x1b(?:\[[0-9;?=]*[ -/]*[@-~]|[()][A-Z0-9]|[=>78cDEHM])/g;
const SHOWN_LINES = 40;
/** A line without an end is complete, a prompt, when nothing is added to it for so long. */
const QUIET_MS = 300;

/**
 * A machine's serial console: every byte goes to a file, every line is kept for whoever waits for one. Lines are without
 * line ends and escape sequences.
 */
export class ConsoleLog implements AsyncIterable<string> {
  readonly file: string;
  readonly #title: string;
  readonly #lines: string[] = [];
  readonly #output: WriteStream;
  #unfinished = '';
  #isClosed = false;
  #changed = Promise.withResolvers<void>();

  constructor(title: string, file: string) {
    this.#title = title;
    this.file = file;
    this.#output = createWriteStream(file, { flags: 'a' });
  }

  /** How many whole lines there are: a wait `from` here ignores what is already on the console. */
  get position(): number {
    return this.#lines.length;
  }

  /** All lines so far, the unfinished one last. */
  get lines(): readonly string[] {
    return this.#unfinished === '' ? this.#lines : [...this.#lines, clean(this.#unfinished)];
  }

  write(bytes: Buffer): void {
    this.#output.write(bytes);
    const parts = (this.#unfinished + bytes.toString('latin1')).split('\n');
    this.#unfinished = parts.pop() ?? '';
    this.#lines.push(...parts.map(clean));
    this.#notify();
  }

  /** Ends waits and iterations; the machine says no more. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#notify();
    this.#output.end();
    await once(this.#output, 'close');
  }

  /**
   * Resolves with the match once a line matches; also one that has no end yet, like a prompt.
   * @throws Error with the console's last lines after the time limit or when the console closed without a match.
   */
  async waitFor(pattern: RegExp, { timeoutMs, from = 0, signal }: WaitOptions): Promise<RegExpExecArray> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const stop = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    let next = from;
    for (;;) {
      for (; next < this.#lines.length; next += 1) {
        const match = pattern.exec(this.#lines[next] ?? '');
        if (match !== null) return match;
      }
      const prompt = pattern.exec(clean(this.#unfinished));
      const hasMore = await this.#change(prompt === null ? stop : AbortSignal.timeout(QUIET_MS));
      if (hasMore) continue;
      if (prompt !== null) return prompt;
      if (this.#isClosed) throw this.#failure(`the machine stopped before its console said ${String(pattern)}`);
      signal?.throwIfAborted();
      throw this.#failure(`its console did not say ${String(pattern)} within ${timeoutMs / 1000} s`);
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string> {
    for (let next = 0; ; ) {
      while (next < this.#lines.length) {
        yield this.#lines[next] ?? '';
        next += 1;
      }
      if (this.#isClosed) return;
      await this.#changed.promise;
    }
  }

  #notify(): void {
    const changed = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    changed.resolve();
  }

  /** Resolves with true at the next change; with false when the signal fires first or nothing can change any more. */
  async #change(signal: AbortSignal): Promise<boolean> {
    if (this.#isClosed) return false;
    const stopped = Promise.withResolvers<boolean>();
    const stop = (): void => stopped.resolve(false);
    signal.addEventListener('abort', stop, { once: true });
    const hasChanged = await Promise.race([this.#changed.promise.then(() => true), stopped.promise]);
    signal.removeEventListener('abort', stop);
    return hasChanged;
  }

  #failure(sentence: string): Error {
    const shown = this.lines.slice(-SHOWN_LINES).map((line) => `  | ${line}`);
    return new Error([`${this.#title}: ${sentence}; the whole console is in ${this.file}`, ...shown].join('\n'));
  }
}

function clean(line: string): string {
  return line.replaceAll(ESCAPES, '').replaceAll('\r', '');
}
