import { TinsmithError } from '#proto/errors.ts';
import { candidates } from '../cluster/assign-machines.ts';
import { foreseeCluster } from '../cluster/foresee-cluster.ts';
import { machineWait } from '../cluster/node-waits.ts';
import { readFacts } from '../cluster/read-facts.ts';
import { workflowLife } from '../life/workflow-life.ts';
import { isWipe } from '../life/workflow-purpose.ts';
import type { Hardware, Store } from '../store/store.ts';
import { nodeWaitOf } from './cluster-view.ts';
import type { ReleaseAnswer } from './types.ts';

interface Release {
  readonly name: string;
  /** False: its disks are left as they are. */
  readonly wipe: boolean;
}

/** How far the release of a machine is; one that is in no cluster and has no wipe to do is released. */
export async function releaseView(store: Store, { name, wipe }: Release, now: Date): Promise<ReleaseAnswer> {
  const hardware = await store.hardware(name);
  if (hardware === undefined) throw new TinsmithError('not_found', `there is no Hardware "${name}"`);
  const node = await store.node(name);
  if (node !== undefined) {
    const text = (await nodeWaitOf(store, node, now))?.text;
    return { isReleased: false, steps: [], ...(text === undefined ? {} : { waits: text }) };
  }
  return wipe ? wipeView(store, hardware, now) : { isReleased: true, steps: [] };
}

async function wipeView(store: Store, hardware: Hardware, now: Date): Promise<ReleaseAnswer> {
  const { name } = hardware;
  const wipe = (await store.listWorkflows({ hardware: name })).findLast(({ labels }) => isWipe(labels));
  if (wipe === undefined || wipe.state === 'succeeded') return { isReleased: true, steps: [] };
  if (workflowLife.isFinal(wipe.state)) {
    throw new TinsmithError(
      wipe.error?.code ?? 'command_failed',
      `the disks of ${name} were not wiped: ${wipe.error?.message ?? `workflow ${wipe.name} ${wipe.state}`}; look at tinsmith logs ${wipe.name}, then release it again`,
    );
  }
  if (wipe.state === 'running') return { isReleased: false, steps: [] };
  const hasAgent = (await store.connectedAgents()).includes(name);
  const { text } = machineWait({ hardware, hasAgent, now, since: wipe.stateAt }, 'the wipe of its disks');
  return { isReleased: false, steps: [], waits: text };
}

/** What a release will do: to the machine, and to the cluster that it leaves. */
export async function foreseeRelease(
  store: Store,
  { name, wipe }: Release,
): Promise<Pick<ReleaseAnswer, 'steps' | 'wipes'>> {
  const node = await store.node(name);
  const cluster = node && (await store.cluster(node.cluster));
  if (cluster === undefined) {
    const what = wipe
      ? 'its user data is dropped, its disks are wiped, it is switched off'
      : 'its user data is dropped, its disks are left as they are';
    return { steps: [`${name}: ${what}`], wipes: wipe };
  }
  const state = cluster.state === 'deleting' ? 'deleting' : 'changing';
  const released = [...cluster.released.filter(({ hardware }) => hardware !== name), { hardware: name, wipe }];
  const { steps, moves, obstacles } = foreseeCluster(
    await readFacts({ store, candidates }, { ...cluster, state, released }),
  );
  const wipes = moves.some((move) => move.kind === 'release' && move.hardware === name && move.wipe);
  return { steps: [...steps, ...obstacles.map((obstacle) => `then ${cluster.name} is blocked: ${obstacle}`)], wipes };
}
