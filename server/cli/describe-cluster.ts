import type { ClusterView } from '../api/cluster-types.ts';
import type { EventView } from '../api/types.ts';
import { eventLine } from './event-line.ts';
import { ageText } from './quantity-text.ts';
import { nodeActivity } from './resource-kind.ts';

/** The lines of `describe cluster` and of `cluster describe`. */
export function describeCluster(cluster: ClusterView, events: readonly EventView[], now: Date): readonly string[] {
  const { options, groups, nodes } = cluster;
  const width = Math.max(0, ...nodes.map(({ hardware }) => hardware.length));
  const groupWidth = Math.max(0, ...groups.map(({ name }) => name.length));
  return [
    `Cluster       ${cluster.name}`,
    `State         ${cluster.state} for ${ageText(now.getTime() - Date.parse(cluster.stateAt))}`,
    ...(cluster.failure === undefined ? [] : [`Blocked       ${cluster.failure}`]),
    `Kubernetes    ${cluster.kubernetesVersion}, endpoint ${cluster.endpoint}, bootstrapper ${cluster.bootstrapper}`,
    `On failure    ${options.retries} more ${options.retries === 1 ? 'try' : 'tries'}, then ${options.onFailure === 'spare' ? 'a spare machine' : 'stop'}`,
    `Created       ${cluster.createdAt}`,
    '',
    'Groups',
    ...groups.map(
      ({ name, role, count, ready, kubernetesVersion }) =>
        `  ${name.padEnd(groupWidth)}  ${role === 'controlPlane' ? 'control plane' : 'workers'}, ${ready} of ${count} ready, Kubernetes ${kubernetesVersion}`,
    ),
    '',
    'Nodes',
    ...(nodes.length === 0 ? ['  none'] : []),
    ...nodes.flatMap((node) => {
      const { hardware, group, state, mac = '–', address = '–', isCurrent } = node;
      const revision = isCurrent ? '' : ', of another revision';
      const line = `  ${hardware.padEnd(width)}  ${group.padEnd(groupWidth)}  ${state}${revision}  ${mac}  ${address}`;
      const doing = nodeActivity(node);
      return [line, ...(doing === '' ? [] : [`  ${' '.repeat(width)}    ${doing}`])];
    }),
    '',
    'Events (UTC)',
    ...events.map((event) => `  ${eventLine(event)}`),
  ];
}
