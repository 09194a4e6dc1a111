import { affinityScore, fits } from '../manifests/hardware-requirements.ts';
import type { Hardware } from '../store/store.ts';
import type { NodeGroup } from './node-groups.ts';

/** Machines of these that may become nodes of a group: the most preferred first, then by name. */
export function candidates({ machineConfig }: NodeGroup, hardware: readonly Hardware[]): readonly Hardware[] {
  return hardware
    .filter((machine) => fits(machine, machineConfig))
    .map((machine) => ({ machine, score: affinityScore(machine, machineConfig) }))
    .toSorted((a, b) => b.score - a.score || (a.machine.name < b.machine.name ? -1 : 1))
    .map(({ machine }) => machine);
}
