import { isDeepStrictEqual } from 'node:util';
import { type Problem, TinsmithError } from '#proto/errors.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import { type ChangeFault, faultsOfChange, groupChanges } from './cluster-changes.ts';
import type { PlaceOf } from './cluster-request.ts';
import { nodeGroups } from './node-groups.ts';

interface Change {
  readonly before: ClusterDefinition;
  readonly after: ClusterDefinition;
  readonly intent: 'scale' | 'upgrade';
  /** Where the values of `after` stand; absent: they are of no file. */
  readonly placeOf?: PlaceOf | undefined;
}

/**
 * Throws `invalid_input` for a change that a cluster cannot make, with every reason and its place, and for one that belongs to
 * the other command: scaling changes numbers, an upgrade what nodes are made from.
 */
export function checkChange({ before, after, intent, placeOf }: Change): void {
  const { name } = before.cluster;
  const problems = faultsOfChange(before, after).map((fault) => problemOf(fault, placeOf));
  if (problems.length > 0) {
    throw new TinsmithError('invalid_input', `cluster ${name} cannot be changed so`, { problems });
  }
  const rolled = groupChanges(before, after).filter(({ isRolled }) => isRolled);
  if (intent === 'scale' && rolled.length > 0) {
    const groups = rolled.map(({ group }) => group.name).join(', ');
    throw new TinsmithError(
      'invalid_input',
      `cannot scale cluster ${name}: the file changes what the nodes of ${groups} are made from; that is an upgrade (tinsmith cluster upgrade ${name})`,
    );
  }
  if (intent === 'upgrade' && !isDeepStrictEqual(countsText(before), countsText(after))) {
    throw new TinsmithError(
      'invalid_input',
      `cannot upgrade cluster ${name}: the file changes how many nodes it has (${countsText(before)} → ${countsText(after)}); scale it (tinsmith cluster scale ${name})`,
    );
  }
}

function problemOf({ kind, name, path, message }: ChangeFault, placeOf: PlaceOf | undefined): Problem {
  const place = placeOf?.(kind, name, path) ?? { file: `${kind} ${name}`, line: 0, column: 0 };
  return { file: place.file, line: place.line, column: place.column, message: `${path}: ${message}` };
}

function countsText(definition: ClusterDefinition): string {
  return nodeGroups(definition)
    .map(({ name, count }) => `${name} ${count}`)
    .join(', ');
}
