import { workflowLife } from '../life/workflow-life.ts';
import type { Hardware, Workflow } from '../store/store.ts';
import type { HardwareManifest } from './hardware-kind.ts';
import type { Located } from './located.ts';
import { normaliseMac } from './network-address.ts';

/** A machine as it will be after the apply: its manifest, and what the store knows of it. */
export interface KnownMachine {
  readonly manifest: HardwareManifest;
  /** Where it stands, if it is in the files of this apply. */
  readonly located?: Located<HardwareManifest>;
  readonly stored?: Hardware;
  /** Names of its unfinished workflows. */
  readonly unfinished: readonly string[];
}

/** All machines of files and store, by name; a file's manifest replaces the stored one. */
export function knownMachines(
  loaded: readonly Located<HardwareManifest>[],
  stored: readonly Hardware[],
  workflows: readonly Workflow[],
): ReadonlyMap<string, KnownMachine> {
  const unfinished = unfinishedByMachine(workflows);
  const machines = new Map<string, KnownMachine>();
  for (const record of stored) {
    const { name } = record;
    machines.set(name, { manifest: record, stored: record, unfinished: unfinished.get(name) ?? [] });
  }
  for (const located of loaded) {
    const { name } = located.value;
    const before = machines.get(name);
    machines.set(name, {
      manifest: located.value,
      located,
      ...(before?.stored === undefined ? {} : { stored: before.stored }),
      unfinished: before?.unfinished ?? [],
    });
  }
  return new Map([...machines].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function unfinishedByMachine(workflows: readonly Workflow[]): ReadonlyMap<string, readonly string[]> {
  const names = new Map<string, string[]>();
  for (const { name, state, hardware } of workflows) {
    if (workflowLife.isFinal(state)) continue;
    for (const machine of new Set(hardware)) names.set(machine, [...(names.get(machine) ?? []), name]);
  }
  return names;
}

/** Finds machines by what an agent may call itself: a MAC in any notation, a name, an agentID. */
export function machineFinder(
  machines: ReadonlyMap<string, KnownMachine>,
): (identity: string) => KnownMachine | undefined {
  const byIdentity = new Map<string, KnownMachine>();
  for (const machine of machines.values()) {
    const { agentID, interfaces } = machine.manifest.spec;
    for (const { dhcp } of interfaces) if (dhcp !== undefined) byIdentity.set(dhcp.mac, machine);
    if (agentID !== undefined) byIdentity.set(agentID, machine);
  }
  return (identity) => {
    const text = identity.trim();
    return machines.get(text) ?? byIdentity.get(text) ?? byIdentity.get(normaliseMac(text) ?? '');
  };
}

/** The identity that the machine's agent presents: its agentID, or the MAC of its first interface. */
export function agentIdentityOf(manifest: HardwareManifest): string | undefined {
  return manifest.spec.agentID ?? manifest.spec.interfaces.find(({ dhcp }) => dhcp !== undefined)?.dhcp?.mac;
}
