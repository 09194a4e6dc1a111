import type { Cluster, ClusterNode, Hardware, Workflow } from '../store/store.ts';

/** What a node waits for; `forOperator`: somebody has to do it. */
export interface NodeWait {
  readonly text: string;
  readonly forOperator: boolean;
}

export interface WaitFacts {
  readonly cluster: Pick<Cluster, 'options' | 'name'>;
  readonly node: ClusterNode;
  readonly hardware: Hardware;
  /** Its newest one. */
  readonly workflow?: Workflow;
  /** All nodes of its cluster. */
  readonly nodes: readonly ClusterNode[];
  /** How long a node may take to come up, as its cluster says. */
  readonly startupMs?: number;
  /** An agent of the machine is connected. */
  readonly hasAgent: boolean;
  /** Images that are imported before its workflow begins. */
  readonly imports?: readonly string[];
  readonly now: Date;
}

/** An installed system that is silent for longer deserves a look, where its cluster names no other time. */
const BOOT_TIME_MS = 10 * 60_000;
/** A connected agent begins within seconds; one that does not is a machine that was switched off while nobody listened. */
const START_TIME_MS = 2 * 60_000;

/** What keeps a node from its next step, as one sentence; undefined: nothing, it is at work or ready. */
export function nodeWait(facts: WaitFacts): NodeWait | undefined {
  const { node, workflow } = facts;
  if (node.note !== undefined) return { text: node.note, forOperator: true };
  switch (node.state) {
    case 'claimed':
      return { text: turnOf(facts), forOperator: false };
    case 'provisioning':
      return workflow?.state === 'running' ? undefined : installationOf(facts);
    case 'installed':
      return startOf(facts);
    case 'ready':
      return undefined;
    case 'failed':
      return failureOf(facts);
    case 'releasing':
      return workflow === undefined || workflow.state === 'running'
        ? undefined
        : bootOf(facts, 'the wipe of its disks');
  }
}

/** Workers wait for the whole control plane; its nodes come one after the other, so each waits for the one that is being made. */
function turnOf({ node, nodes }: WaitFacts): string {
  const controlPlane = nodes.filter(({ role, hardware }) => role === 'controlPlane' && hardware !== node.hardware);
  const missing = controlPlane.filter(({ state }) => state !== 'ready');
  const busy = missing.filter(({ state }) => state === 'provisioning' || state === 'installed');
  const awaited = node.role === 'controlPlane' ? busy : missing;
  if (awaited.length === 0) return 'waits for its turn';
  return `waits for the control plane: ${awaited.map(({ hardware }) => hardware).join(', ')}`;
}

function installationOf(facts: WaitFacts): NodeWait {
  const { hasAgent, imports = [] } = facts;
  // A machine whose agent is there has nothing else to wait for.
  if (!hasAgent || imports.length === 0) return bootOf(facts, 'its installation');
  return { text: `waits for the import of ${imports.join(', ')}`, forOperator: false };
}

function bootOf(facts: WaitFacts, what: string): NodeWait {
  return machineWait({ ...facts, since: facts.node.stateAt }, what);
}

interface MachineFacts extends Pick<WaitFacts, 'hardware' | 'hasAgent' | 'now'> {
  /** When its workflow was ordered. */
  readonly since: Date;
}

/** A machine has to boot from the network to begin `what`; by itself it does so only while its agent runs. */
export function machineWait({ hardware, hasAgent, now, since }: MachineFacts, what: string): NodeWait {
  const machine = `${hardware.name}${macText(hardware)}`;
  const waited = now.getTime() - since.getTime();
  if (hasAgent && waited < START_TIME_MS) return { text: `its agent is there and begins ${what}`, forOperator: false };
  const isComing = hardware.stage === 'booting' || hardware.stage === 'enrolled';
  if (isComing && now.getTime() - hardware.stageAt.getTime() < START_TIME_MS) {
    return { text: hardware.stage === 'booting' ? 'it is booting' : 'its agent begins', forOperator: false };
  }
  // What holds no system boots from the network by itself; a disk that boots would come first.
  const todo =
    hardware.stage === 'discovered'
      ? `power on ${machine} now: it boots from the network`
      : `power-cycle ${machine} now and let it boot from the network: it stops what it runs`;
  return { text: `${todo} and begins ${what}`, forOperator: true };
}

function startOf({ hardware, node, now, startupMs = BOOT_TIME_MS }: WaitFacts): NodeWait {
  const waited = now.getTime() - node.stateAt.getTime();
  if (waited < startupMs) return { text: 'waits for its system to come up', forOperator: false };
  const minutes = Math.floor(waited / 60_000);
  const text = `its system is silent for ${minutes} minutes: look at the console of ${hardware.name}, or power-cycle it${macText(hardware)}`;
  return { text, forOperator: true };
}

function failureOf({ node, cluster }: WaitFacts): NodeWait {
  const why = node.failure ?? 'no reason is known';
  if (node.tries <= cluster.options.retries) return { text: `${why}; it is tried again`, forOperator: false };
  const text = `${why}; repair it and resume (tinsmith cluster resume ${cluster.name}), or take it out (tinsmith hardware release ${node.hardware})`;
  return { text, forOperator: true };
}

/** ` (MAC 08:00:27:ca:5b:fe)` of the interface that it boots from. */
function macText({ spec }: Hardware): string {
  const mac = spec.interfaces.find(({ dhcp }) => dhcp !== undefined)?.dhcp?.mac;
  return mac === undefined ? '' : ` (MAC ${mac})`;
}
