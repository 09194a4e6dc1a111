/** `tinsmith` as a child process against an API world. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join, resolve } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import type { ApiWorld } from './api-world.ts';

const PROJECT = resolve(import.meta.dirname, '../..');
const MAIN = join(PROJECT, 'server/main.ts');
/** As the launcher does it: a start takes a third of the time. */
const NODE_COMPILE_CACHE = join(PROJECT, 'node_modules/.cache/tinsmith');

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  /** Replaces what the world would give; `undefined` removes. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly input?: string;
  readonly cwd?: string;
}

/** A running command; killed when it is disposed. */
export interface CliProcess extends AsyncDisposable {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly result: Promise<CliResult>;
  /** Resolves once standard output holds `text`, or the process has ended. */
  printed(text: string): Promise<void>;
}

export async function runCliProcess(
  world: ApiWorld | undefined,
  argv: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  await using running = startCliProcess(world, argv, options);
  running.child.stdin.end(options.input ?? '');
  return await running.result;
}

export function startCliProcess(
  world: ApiWorld | undefined,
  argv: readonly string[],
  { environment = {}, cwd }: CliOptions = {},
): CliProcess {
  const { PATH } = process.env;
  const site = world === undefined ? {} : { TINSMITH_SERVER: world.url, TINSMITH_TOKEN_FILE: world.tokenFile };
  const child = spawn(process.execPath, [MAIN, ...argv], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH, NODE_COMPILE_CACHE, ...site, ...environment },
    ...(cwd !== undefined && { cwd }),
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const closed = once(child, 'close');
  return {
    child,
    result: closed.then(([code]) => ({ code, ...output })),
    async printed(text) {
      while (!output.stdout.includes(text)) {
        const more = await Promise.race([once(child.stdout, 'data').then(() => true), closed.then(() => false)]);
        if (!more) return;
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await closed;
    },
  };
}
