import { setTimeout as delay } from 'node:timers/promises';
import { TinsmithError } from '#proto/errors.ts';
import { EVENT_NAMES, type EventName } from '../life/events.ts';
import type { ClusterParts } from './cluster-parts.ts';
import { decideCluster } from './decide-cluster.ts';
import { executeStep } from './execute-step.ts';
import { readFacts } from './read-facts.ts';

/** How often clusters are looked at without any event: what waits for something outside is tried again. */
const TICK_MS = 10_000;
/** Passes over one cluster until somebody else gets a turn: more are needed only if something is told again and again. */
const MOST_PASSES = 100;

/** Stored events that may change what is to be done; a node's own note is none. */
const WAKING = Object.keys(EVENT_NAMES).filter(
  (name): name is EventName => /^(cluster|node|machine|workflow|hardware)\./.test(name) && name !== 'node.waiting',
);

/**
 * Brings clusters to what is wanted, until the signal. It remembers nothing: each pass reads the store, decides and acts, so
 * that a server that was killed goes on where it was. Clusters do not wait for each other.
 */
export async function runClusterController(
  parts: ClusterParts,
  signal: AbortSignal,
  options: { readonly tickMs?: number } = {},
): Promise<void> {
  const running = new Map<string, { isAgain: boolean; readonly done: Promise<void> }>();
  const look = (name: string): void => {
    const current = running.get(name);
    if (current !== undefined) {
      current.isAgain = true;
      return;
    }
    const turn = { isAgain: false, done: Promise.resolve() };
    running.set(name, turn);
    turn.done = reconcileSafely(parts, name, signal).finally(() => {
      running.delete(name);
      if (turn.isAgain && !signal.aborted) look(name);
    });
  };
  const lookAtAll = async (): Promise<void> => {
    for (const { name, state } of await parts.store.listClusters()) if (state !== 'ready') look(name);
  };
  await Promise.all([
    untilAborted(parts, signal, async () => {
      for await (const _ of parts.store.followEvents({ names: WAKING }, signal)) await lookAtAll();
    }),
    untilAborted(parts, signal, async () => {
      await lookAtAll();
      await delay(options.tickMs ?? TICK_MS, undefined, { signal });
    }),
  ]);
  await Promise.all([...running.values()].map(({ done }) => done));
}

async function untilAborted({ log }: ClusterParts, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    try {
      await work();
    } catch (error) {
      if (signal.aborted) return;
      log.error({ err: error }, 'cluster.controllerFailed');
      await delay(1_000, undefined, { signal }).catch(() => undefined); // the loop ends by itself
    }
  }
}

async function reconcileSafely(parts: ClusterParts, name: string, signal: AbortSignal): Promise<void> {
  try {
    await reconcileCluster(parts, name, signal);
  } catch (error) {
    // Somebody else was faster, or the store cannot write: the next event or tick looks again.
    if (signal.aborted) return;
    const isExpected = error instanceof TinsmithError && (error.code === 'conflict' || error.code === 'not_found');
    parts.log[isExpected ? 'debug' : 'error']({ err: error, cluster: name }, 'cluster.passFailed');
  }
}

/** Passes over one cluster until nothing can be done at once. Throws the first failure that is no node's own. */
export async function reconcileCluster(parts: ClusterParts, name: string, signal: AbortSignal): Promise<void> {
  await dropExpiredToken(parts, name);
  for (let pass = 0; pass < MOST_PASSES && !signal.aborted; pass += 1) {
    const cluster = await parts.store.cluster(name);
    if (cluster === undefined) return; // it was deleted
    const facts = await readFacts(parts, cluster);
    const { steps } = decideCluster(facts);
    let isMoved = false;
    for (const step of steps) {
      if (signal.aborted) return;
      if ((await executeStep(parts, cluster, step, signal)) === 'done') isMoved = true;
    }
    if (!isMoved) return;
  }
}

/** It lets nobody in any more: keeping it helps nobody. */
async function dropExpiredToken({ store, transitions, clock }: ClusterParts, name: string): Promise<void> {
  if ((await store.cluster(name)) === undefined) return;
  const token = await store.clusterToken(name);
  if (token !== undefined && token.expiresAt <= clock()) await transitions.putClusterToken(name, undefined);
}
