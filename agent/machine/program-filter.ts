import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { TinsmithError } from '#proto/errors.ts';
import { ConnectionReader } from '#transfer/socket-reader.ts';
import { PROGRAM_PATH } from './program.ts';

/** A running program that turns what is written to it into what is read from it. Whoever started it closes it. */
export interface ProgramFilter {
  /** Resolves when the bytes are on their way and their memory may be used again. Rejects when the program takes no more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Nothing more is written. */
  end(): void;
  /** What the program made; valid until the next call. Undefined: it has ended its output. */
  read(): Promise<Buffer | undefined>;
  /** Its exit code and the last that it complained of. */
  result(): Promise<{ readonly exitCode: number; readonly complaint: string }>;
  /** Kills it if it runs. */
  close(): void;
}

/** As much as the kernel gives in one go. */
const READ_BYTES = 256 * 1024;
const COMPLAINT_BYTES = 4096;

/**
 * Starts a program between two sockets: they carry 200 KiB at a time where a pipe carries 64, and are read into one memory again and
 * again. The socket has a name in `folder`, which is made, for a moment. Undefined: there is no such program here.
 */
export async function startFilter(
  [file = '', ...args]: readonly string[],
  folder = tmpdir(),
): Promise<ProgramFilter | undefined> {
  const output = await socketPair(folder);
  const child = spawn(file, args, {
    env: { PATH: PROGRAM_PATH, LANG: 'C.UTF-8' },
    stdio: ['pipe', output.theirs, 'pipe'],
  });
  output.theirs.destroy();
  try {
    await once(child, 'spawn');
  } catch (thrown) {
    output.ours.socket.destroy();
    if (Reflect.get(Object(thrown), 'code') === 'ENOENT') return undefined;
    throw new TinsmithError('command_failed', `cannot start ${file}: ${String(thrown)}`, { cause: thrown });
  }
  return filterOf(child, output.ours);
}

function filterOf(child: ChildProcessByStdio<Writable, null, Readable>, output: ConnectionReader): ProgramFilter {
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(-COMPLAINT_BYTES);
  });
  // A program that ends early closes it; its exit code says why.
  child.stdin.on('error', () => undefined);
  const closed = new Promise<number>((resolve) => {
    child.once('close', (code: number | null) => resolve(code ?? 128));
  });
  return {
    write: (bytes) =>
      new Promise((resolve, reject) => {
        child.stdin.write(bytes, (error) => {
          if (error) reject(error);
          else resolve();
        });
      }),
    end: () => void child.stdin.end(),
    read: () => output.pull(),
    result: async () => ({ exitCode: await closed, complaint: complaint.trim() }),
    close: () => {
      child.kill('SIGKILL');
      output.socket.destroy();
    },
  };
}

/** Two ends of one connection: ours reads, theirs is given to a program. */
async function socketPair(inside: string): Promise<{ readonly ours: ConnectionReader; readonly theirs: Socket }> {
  await mkdir(inside, { recursive: true });
  const folder = await mkdtemp(join(inside, 'tinsmith-filter-'));
  try {
    const path = join(folder, 'socket');
    const server = createServer({ pauseOnConnect: true });
    const theirs = new Promise<Socket>((resolve) => {
      server.once('connection', resolve);
    });
    server.listen(path);
    await once(server, 'listening');
    const ours = new ConnectionReader({ path }, Buffer.allocUnsafeSlow(READ_BYTES));
    const socket = await theirs;
    server.close();
    return { ours, theirs: socket };
  } finally {
    await rm(folder, { recursive: true });
  }
}
