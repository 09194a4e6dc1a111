import type { ClusterView } from '../api/cluster-types.ts';
import type { EventView, ListOf } from '../api/types.ts';
import type { CommandContext } from './command.ts';

const RECENT_EVENTS = 15;

/** The last events of the cluster itself and of its nodes, from its creation on: an older one may have had its name. */
export async function clusterEvents(
  { api }: CommandContext,
  { name, nodes }: ClusterView,
): Promise<readonly EventView[]> {
  const { items } = await api.get<ListOf<EventView>>('/events', { tail: 2000 });
  const members = new Set(nodes.map(({ hardware }) => hardware));
  const isMine = ({ data, hardware = '', name: event }: EventView): boolean =>
    data['cluster'] === name || (members.has(hardware) && /^(machine|node)\./.test(event));
  const created = items.findLastIndex((event) => event.name === 'cluster.created' && event.data['cluster'] === name);
  // Where that is not among them, all of them came after it.
  return items.slice(Math.max(0, created)).filter(isMine).slice(-RECENT_EVENTS);
}
