import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '#proto/errors.ts';
import type { DownloadTiming } from '#transfer/download.ts';

/** What `write-agent.ts` is told. */
export interface WriteOrder {
  /** A block device, or a file that stands for one. */
  readonly device: string;
  /** As an action's time limit: after it the run is cancelled. */
  readonly limitMs: number;
  readonly retryForMs: number;
  readonly timing: DownloadTiming;
  readonly source: UrlSource | LibrarySource;
}

export interface UrlSource {
  readonly url: string;
  readonly sha256?: string;
  readonly rawSha256?: string;
}

export interface LibrarySource {
  readonly image: string;
  readonly mirrors: readonly string[];
  readonly publicKey: string;
}

export type WriteOutcome =
  | {
      readonly isWritten: true;
      readonly imageBytes: number;
      readonly receivedBytes?: number;
      readonly keptBytes?: number;
    }
  | { readonly isWritten: false; readonly code: ErrorCode; readonly message: string }
  | 'killed';

export interface AgentRun {
  readonly child: ChildProcess;
  /** Throws when the process ended otherwise than by itself or by SIGKILL. */
  readonly outcome: Promise<WriteOutcome>;
}

const SCRIPT = fileURLToPath(import.meta.resolve('./write-agent.ts'));

/** As the agent's own process runs it; `signal` kills it. */
export function startAgent(order: WriteOrder, signal: AbortSignal): AgentRun {
  const child = spawn(process.execPath, [SCRIPT, JSON.stringify(order)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
  });
  // A signal that ends the round is told by the exit.
  child.on('error', () => undefined);
  return { child, outcome: outcomeOf(child) };
}

export async function runAgent(order: WriteOrder, signal: AbortSignal): Promise<WriteOutcome> {
  const outcome = await startAgent(order, signal).outcome;
  signal.throwIfAborted();
  return outcome;
}

async function outcomeOf(child: ChildProcess): Promise<WriteOutcome> {
  const exited = once(child, 'close');
  const said = Promise.all([child.stdout, child.stderr].map(async (stream) => (stream === null ? '' : text(stream))));
  const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null];
  const [result = '', complaints = ''] = await said;
  if (signal === 'SIGKILL') return 'killed';
  if (code !== 0) throw new Error(`the agent ended with ${signal ?? code}: ${complaints.trim()}`);
  return JSON.parse(result) as WriteOutcome;
}
