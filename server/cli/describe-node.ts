import type { EventView } from '../api/types.ts';
import { eventLine } from './event-line.ts';
import { ageText } from './quantity-text.ts';
import { type NodeOfCluster, nodeActivity } from './resource-kind.ts';

/** The lines of `describe node`. */
export function describeNode(node: NodeOfCluster, events: readonly EventView[], now: Date): readonly string[] {
  const { hardware, cluster, group, role, state, stateAt, tries, mac = '–', address = '–', stage } = node;
  const { revision, isCurrent, failure, workflow } = node;
  const doing = nodeActivity(node);
  return [
    `Node       ${hardware}`,
    `Cluster    ${cluster}, group ${group} (${role === 'controlPlane' ? 'control plane' : 'worker'})`,
    `State      ${state} for ${ageText(now.getTime() - Date.parse(stateAt))}`,
    ...(failure === undefined ? [] : [`Failure    ${failure}`]),
    ...(doing === '' ? [] : [`Does       ${doing}`]),
    `Tries      ${tries}`,
    `Revision   ${revision}${isCurrent ? '' : ' (another one is wanted)'}`,
    `Machine    ${stage}, MAC ${mac}, address ${address}`,
    `Workflow   ${workflow === undefined ? '–' : `${workflow.name}, ${workflow.state}, ${workflow.done} of ${workflow.actions} actions done`}`,
    '',
    'Events (UTC)',
    ...events.map((event) => `  ${eventLine(event)}`),
  ];
}
