import { isDeepStrictEqual } from 'node:util';
import { TinsmithError } from '#proto/errors.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import { nodeGroups } from './node-groups.ts';
import { nodeRevision } from './node-revision.ts';

/**
 * Scaling changes numbers, an upgrade changes what nodes are made from; both at once would not tell which node is to go. Throws
 * `invalid_input` with the other command.
 */
export function checkIntent(before: ClusterDefinition, after: ClusterDefinition, intent: 'scale' | 'upgrade'): void {
  const { name } = before.cluster;
  const renewed = nodeGroups(after).filter((group) => {
    const former = nodeGroups(before).find((each) => each.name === group.name);
    return former !== undefined && nodeRevision(before, former) !== nodeRevision(after, group);
  });
  if (intent === 'scale' && renewed.length > 0) {
    const groups = renewed.map((group) => group.name).join(', ');
    throw new TinsmithError(
      'invalid_input',
      `cannot scale cluster ${name}: the file also changes what the nodes of ${groups} are made from; upgrade it first (tinsmith cluster upgrade ${name})`,
    );
  }
  if (intent === 'upgrade' && !isDeepStrictEqual(countsOf(before), countsOf(after))) {
    throw new TinsmithError(
      'invalid_input',
      `cannot upgrade cluster ${name}: the file also changes how many nodes it has (${countsText(before)} → ${countsText(after)}); scale it first (tinsmith cluster scale ${name})`,
    );
  }
}

function countsOf(definition: ClusterDefinition): Readonly<Record<string, number>> {
  return Object.fromEntries(nodeGroups(definition).map(({ name, count }) => [name, count]));
}

function countsText(definition: ClusterDefinition): string {
  return Object.entries(countsOf(definition))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
