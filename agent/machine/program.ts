import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { TinsmithError } from '#proto/errors.ts';
import type { ProgramCall, ProgramResult } from './machine.ts';

const GRACE_MS = 5000;
const LONGEST_LINE = 16 * 1024;
const KEPT_LINES = 10;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Runs a program in a process group of its own, so that what it started ends with it when it is aborted. */
export async function runProgram(call: ProgramCall): Promise<ProgramResult> {
  call.signal.throwIfAborted();
  const [file = '', ...args] = call.argv;
  const child = spawn(file, args, {
    env: { PATH, HOME: '/root', LANG: 'C.UTF-8', ...call.environment },
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
  const stop = stopOnAbort(child, call.signal);
  try {
    const [exitCode] = await Promise.all([
      exitOf(child, file),
      readLines(child.stdout, take('stdout')),
      readLines(child.stderr, take('stderr')),
    ]);
    call.signal.throwIfAborted();
    return { exitCode, lastLines };
  } finally {
    stop.done();
  }
}

async function exitOf(child: ChildProcess, file: string): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', (cause) => {
    reject(new TinsmithError('command_failed', `cannot start ${file}: ${cause.message}`, { cause }));
  });
  child.once('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  return promise;
}

/** TERM to the whole group, then KILL. */
function stopOnAbort(child: ChildProcess, signal: AbortSignal): { done: () => void } {
  let timer: NodeJS.Timeout | undefined;
  const send = (name: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, name);
    } catch {
      // The group is gone already, which is what we want.
    }
  };
  const onAbort = (): void => {
    send('SIGTERM');
    timer = setTimeout(() => send('SIGKILL'), GRACE_MS);
  };
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    done: () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    },
  };
}

/** Carriage returns end lines, too: progress meters use them. A line without end is cut into pieces. */
async function readLines(stream: Readable, take: (line: string) => void): Promise<void> {
  let rest = '';
  stream.setEncoding('utf8');
  for await (const text of stream) {
    const lines = (rest + String(text)).split(/\r\n|\n|\r/);
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') take(line.slice(0, LONGEST_LINE));
    while (rest.length > LONGEST_LINE) {
      take(rest.slice(0, LONGEST_LINE));
      rest = rest.slice(LONGEST_LINE);
    }
  }
  if (rest !== '') take(rest);
}
