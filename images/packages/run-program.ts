import { spawn } from 'node:child_process';
import { TinsmithError } from '#proto/errors.ts';

export interface ProgramOptions {
  readonly cwd?: string;
  /** Replaces the whole environment. Absent: the builder's own. */
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string | Uint8Array;
  /** How standard output becomes text; `latin1` keeps every byte. Default utf8. */
  readonly encoding?: 'utf8' | 'latin1';
  readonly signal?: AbortSignal;
}

export interface ProgramResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const LONGEST_TAIL = 2000;

/**
 * Runs one of the build's programs to its end and returns what it printed.
 * @throws TinsmithError `unsupported` when it is not installed, `command_failed` when it ends with another code than 0.
 */
export async function runProgram(argv: readonly [string, ...string[]], options: ProgramOptions = {}): Promise<string> {
  const result = await tryProgram(argv, options);
  if (result.exitCode === 0) return result.stdout;
  const tail = (result.stderr.trim() || result.stdout.trim()).slice(-LONGEST_TAIL);
  throw new TinsmithError(
    'command_failed',
    `cannot run ${argv.join(' ')}: it ended with code ${result.exitCode}: ${tail}`,
  );
}

/** Like runProgram, for programs whose exit code is an answer. A program ended by a signal has exit code 128. */
export async function tryProgram(
  argv: readonly [string, ...string[]],
  options: ProgramOptions = {},
): Promise<ProgramResult> {
  const { signal } = options;
  signal?.throwIfAborted();
  const [program, ...rest] = argv;
  // Debian keeps sgdisk, mke2fs and ip where only root's PATH looks; building needs no root.
  const env = options.env ?? process.env;
  const child = spawn(program, rest, {
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...env, PATH: `${env['PATH'] ?? ''}:/usr/sbin:/sbin` },
    ...(signal === undefined ? {} : { signal }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding(options.encoding ?? 'utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  // A program that ends without reading its input is judged by its exit code, not by the broken pipe.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input);
  const exitCode = await new Promise<number>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(signal?.aborted === true ? toError(signal.reason) : cannotStart(program, error));
    });
    child.once('close', (code) => resolve(code ?? 128));
  });
  return { exitCode, stdout, stderr };
}

function cannotStart(program: string, error: NodeJS.ErrnoException): TinsmithError {
  const sentence =
    error.code === 'ENOENT'
      ? `cannot run ${program}: it is not installed; run scripts/setup.sh`
      : `cannot run ${program}: ${error.message}`;
  return new TinsmithError(error.code === 'ENOENT' ? 'unsupported' : 'command_failed', sentence, { cause: error });
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new TinsmithError('cancelled', String(reason));
}
