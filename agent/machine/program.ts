import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { pause } from '#transfer/pause.ts';
import type { ProgramCall, ProgramResult } from './machine.ts';

const GRACE_MS = 5000;
/** For output that is still on its way when the program has ended. */
const LINGER_MS = 1000;
const LONGEST_LINE = 16 * 1024;
const KEPT_LINES = 10;
/** Where programs of the boot environment lie. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Runs a program in a process group of its own: what it started ends with it, at its end as in an abort, as in a container.
 * One that left the group and keeps the output open is not waited for.
 */
export async function runProgram(call: ProgramCall): Promise<ProgramResult> {
  call.signal.throwIfAborted();
  const [file = '', ...args] = call.argv;
  const child = spawn(file, args, {
    env: { PATH: PROGRAM_PATH, HOME: '/root', LANG: 'C.UTF-8', ...call.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const lastLines: string[] = [];
  const take = (stream: 'stdout' | 'stderr') => (line: string) => {
    lastLines.push(line);
    if (lastLines.length > KEPT_LINES) lastLines.shift();
    call.onLine?.(stream, line);
  };
  // A program that does not read its input closes the pipe; that is its right.
  child.stdin.on('error', () => undefined);
  child.stdin.end(call.input ?? '');
  const group = new ProcessGroup(child, call.signal);
  const reading = Promise.all([readLines(child.stdout, take('stdout')), readLines(child.stderr, take('stderr'))]);
  try {
    const exitCode = await exitOf(child, file);
    const isRead = new AbortController();
    await Promise.race([reading.finally(() => isRead.abort()), pause(LINGER_MS, isRead.signal)]);
    group.send('SIGKILL');
    child.stdout.destroy();
    child.stderr.destroy();
    await reading;
    call.signal.throwIfAborted();
    return { exitCode, lastLines };
  } finally {
    group.release();
  }
}

async function exitOf(child: ChildProcess, file: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', (cause) => {
    reject(new TinsmithError('command_failed', `cannot start ${file}: ${cause.message}`, { cause }));
  });
  child.once('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  return promise;
}

/** TERM to all of it when it is aborted, then KILL. */
class ProcessGroup {
  readonly #child: ChildProcess;
  readonly #signal: AbortSignal;
  #timer: NodeJS.Timeout | undefined;

  constructor(child: ChildProcess, signal: AbortSignal) {
    this.#child = child;
    this.#signal = signal;
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  send(name: NodeJS.Signals): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, name);
    } catch {
      // The group is gone already, which is what we want.
    }
  }

  release(): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#onAbort);
  }

  readonly #onAbort = (): void => {
    this.send('SIGTERM');
    this.#timer = setTimeout(() => this.send('SIGKILL'), GRACE_MS);
  };
}

/** Carriage returns end lines, too: progress meters use them. A line without end is cut into pieces. */
async function readLines(stream: Readable, take: (line: string) => void): Promise<void> {
  let rest = '';
  stream.setEncoding('utf8');
  try {
    for await (const text of stream) {
      const lines = (rest + String(text)).split(/\r\n|\n|\r/);
      rest = lines.pop() ?? '';
      for (const line of lines) if (line !== '') take(line.slice(0, LONGEST_LINE));
      while (rest.length > LONGEST_LINE) {
        take(rest.slice(0, LONGEST_LINE));
        rest = rest.slice(LONGEST_LINE);
      }
    }
  } catch (thrown) {
    // Closed from here because somebody else still holds the other end.
    if (systemCodeOf(thrown) !== 'ERR_STREAM_PREMATURE_CLOSE') throw thrown;
  }
  if (rest !== '') take(rest);
}
