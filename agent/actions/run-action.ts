import type { ActionName } from '#proto/actions/catalog.ts';
import { catalog } from '#proto/actions/catalog.ts';
import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import { pause } from '#transfer/pause.ts';
import type { ActionContext } from './action-context.ts';
import { nameHintedDisks } from './hinted-disks.ts';
import { ProgramFailure } from './program-failure.ts';
import { registry } from './registry.ts';
import { TimeLimit } from './time-limit.ts';

/** What the server asked for. */
export interface ActionCall {
  readonly builtIn: ActionName;
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  /** For all tries together, without the time in which it only waited for its turn; 0: no limit. */
  readonly timeoutMs: number;
  /** Further tries after a failure; only repeatable actions get them. */
  readonly retries: number;
}

export interface ActionRunResult {
  readonly outcome: 'succeeded' | 'failed' | 'timedOut' | 'cancelled';
  /** 0, or the exit code of the failed program, or the one of the error table. */
  readonly exitCode: number;
  readonly error?: TinsmithError;
  /** 1 or more. */
  readonly tries: number;
}

/** Parses and runs one action once. Throws TinsmithError. */
export async function runAction<N extends ActionName>(
  name: N,
  call: Pick<ActionCall, 'environment' | 'command'>,
  context: ActionContext,
): Promise<void> {
  const params = catalog[name].parse(call.environment, call.command);
  context.signal.throwIfAborted();
  await nameHintedDisks(call, context);
  await registry[name](params, context);
}

/**
 * Runs an action within its time and with its further tries. Never rejects: the outcome says it all. Whether it was cancelled
 * is seen from the context's signal.
 */
export async function runActionWithPolicy(call: ActionCall, context: ActionContext): Promise<ActionRunResult> {
  const waitedMs = (): number => context.waitedMs?.() ?? 0;
  const error = (waited: number): TinsmithError => timeOutError(call, waited);
  using deadline = new TimeLimit({ limitMs: call.timeoutMs, waitedMs, error });
  const signal = AbortSignal.any([context.signal, deadline.signal]);
  const tries = catalog[call.builtIn].repeatable ? 1 + call.retries : 1;
  for (let attempt = 1; ; attempt++) {
    const fault = await tryOnce(call, { ...context, signal });
    if (fault === undefined) return { outcome: 'succeeded', exitCode: 0, tries: attempt };
    if (context.signal.aborted) return failure('cancelled', cancelled(context.signal), attempt);
    if (deadline.signal.aborted) return failure('timedOut', error(waitedMs()), attempt);
    if (attempt >= tries || fault.code === 'invalid_params') return failure('failed', fault, attempt);
    context.log('agent', `try ${attempt} of ${tries} failed, again in ${RETRY_PAUSE_MS / 1000} s: ${fault.message}`);
    // An abort ends the pause; the next round sees the reason.
    await pause(RETRY_PAUSE_MS, signal).catch(() => undefined);
  }
}

const RETRY_PAUSE_MS = 1000;

async function tryOnce(call: ActionCall, context: ActionContext): Promise<TinsmithError | undefined> {
  try {
    context.signal.throwIfAborted();
    await runAction(call.builtIn, call, context);
    return undefined;
  } catch (thrown) {
    return TinsmithError.from(thrown);
  }
}

function failure(outcome: 'failed' | 'timedOut' | 'cancelled', error: TinsmithError, tries: number): ActionRunResult {
  return { outcome, exitCode: exitCodeOf(error), error, tries };
}

/** A program's own exit code travels in the cause of `command_failed`. */
function exitCodeOf(error: TinsmithError): number {
  const code = error.cause instanceof ProgramFailure ? error.cause.exitCode : undefined;
  return code ?? ERROR_CODES[error.code].exit;
}

function timeOutError(call: ActionCall, waitedMs: number): TinsmithError {
  const seconds = Math.round(call.timeoutMs / 1000);
  const besides = waitedMs < 1000 ? '' : `, besides ${Math.round(waitedMs / 1000)} s in which it waited for its turn`;
  const sentence = `${call.builtIn} did not end within its ${seconds} s${besides}: raise the action's timeout`;
  return new TinsmithError('timed_out', sentence);
}

function cancelled(signal: AbortSignal): TinsmithError {
  const reason: unknown = signal.reason;
  return reason instanceof TinsmithError
    ? reason
    : new TinsmithError('cancelled', 'the action was cancelled', { cause: reason });
}
