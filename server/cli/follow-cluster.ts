import { setTimeout as delay } from 'node:timers/promises';
import { TinsmithError } from '#proto/errors.ts';
import type { ClusterView } from '../api/cluster-types.ts';
import type { EventView, ListOf } from '../api/types.ts';
import { clusterPrinter } from './cluster-printer.ts';
import type { CommandContext } from './command.ts';
import { namedPath } from './named-path.ts';

/** `ready`: as wanted. `gone`: deleted, or (with `hardware`) that machine is no node any more. */
export type ClusterGoal = 'ready' | 'gone';

const LOOK_MS = 300;
/** What a node waits for changes with time alone, too. */
const LOOK_ANYWAY_MS = 5_000;
/** A server that is being restarted is waited for. */
const PATIENCE_MS = 60_000;

export function clusterPath(name: string): string {
  return namedPath('/clusters', name);
}

/**
 * Shows a cluster until it is what was asked for. It goes on by itself: when the user stops watching, that and the way back are
 * said. @throws TinsmithError `conflict` with the reason once it is blocked.
 */
export async function followCluster(context: CommandContext, name: string, goal: ClusterGoal): Promise<number> {
  const { api, out, signal } = context;
  // The position first, then the record: what happens in between is shown again rather than missed.
  const newest = await api.get<ListOf<EventView>>('/events', { tail: 1 });
  const printer = clusterPrinter(context);
  const ended = new AbortController();
  const watch = { isStale: true, members: new Set<string>() };
  const following = followEvents(context, { name, after: newest.items[0]?.id ?? 0, watch, printer }, ended.signal);
  try {
    return await look(context, { name, goal, watch, printer });
  } catch (error) {
    if (signal.aborted) {
      out.note(`the cluster goes on; come back with: tinsmith cluster watch ${name}`);
      throw new TinsmithError('cancelled', 'stopped watching', { cause: error });
    }
    throw error;
  } finally {
    printer.close();
    ended.abort();
    await following;
  }
}

interface Watch {
  /** Something happened since the last look. */
  isStale: boolean;
  readonly members: Set<string>;
}

interface Followed {
  readonly name: string;
  readonly watch: Watch;
  readonly printer: ReturnType<typeof clusterPrinter>;
}

async function followEvents(
  { api }: CommandContext,
  { name, after, watch, printer }: Followed & { readonly after: number },
  ended: AbortSignal,
): Promise<void> {
  try {
    for await (const event of api.follow<EventView>('/events/stream', { after }, ended)) {
      const isMine = event.data['cluster'] === name || watch.members.has(event.hardware ?? '');
      if (!isMine) continue;
      watch.isStale = true;
      printer.event(event);
    }
  } catch {
    // The looks go on without the events, and say what is wrong.
  }
}

async function look(
  { api, signal, now }: CommandContext,
  { name, goal, watch, printer }: Followed & { readonly goal: ClusterGoal },
): Promise<number> {
  let lookedAt = 0;
  let answeredAt = now().getTime();
  for (;;) {
    const at = now().getTime();
    if (watch.isStale || at - lookedAt >= LOOK_ANYWAY_MS) {
      watch.isStale = false;
      lookedAt = at;
      const cluster = await lookOnce(api, name, answeredAt + PATIENCE_MS > at);
      if (cluster === 'gone') {
        if (goal === 'gone') return 0;
        throw new TinsmithError('not_found', `there is no cluster named ${name} any more`);
      }
      if (cluster !== 'away') {
        answeredAt = now().getTime();
        for (const { hardware } of cluster.nodes) watch.members.add(hardware);
        printer.show(cluster);
        if (isOver(cluster, goal)) return 0;
      }
    }
    await delay(LOOK_MS, undefined, { signal });
  }
}

/** `away`: the server does not answer, and may again. */
async function lookOnce(
  api: CommandContext['api'],
  name: string,
  isPatient: boolean,
): Promise<ClusterView | 'gone' | 'away'> {
  try {
    return await api.get<ClusterView>(clusterPath(name));
  } catch (error) {
    if (!(error instanceof TinsmithError)) throw error;
    if (error.code === 'not_found') return 'gone';
    if (error.code === 'unavailable' && isPatient) return 'away';
    throw error;
  }
}

function isOver({ name, state, failure }: ClusterView, goal: ClusterGoal): boolean {
  if (state === 'blocked') {
    throw new TinsmithError('conflict', `cluster ${name} cannot go on by itself: ${failure ?? 'no reason is known'}`);
  }
  return goal === 'ready' && state === 'ready';
}
