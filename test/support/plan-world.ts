/** Plans of clusters on a host that stands still: no network, no clock, no keys. */
import { readFileSync } from 'node:fs';
import { redactEnvironment } from '#server/api/redact.ts';
import type { ClusterOptions } from '#server/cluster/cluster-options.ts';
import { DEFAULT_CLUSTER_OPTIONS } from '#server/cluster/cluster-options.ts';
import type { ClusterPlan } from '#server/cluster/cluster-plan.ts';
import { tryReadClusterFiles } from '#server/cluster/cluster-request.ts';
import { planCluster } from '#server/cluster/plan-cluster.ts';
import type { AddressProbe, PlanEnvironment, PlanInput } from '#server/cluster/plan-input.ts';
import { describeProblems } from '#server/manifests/describe-problems.ts';
import type { Hardware, Workflow } from '#server/store/store.ts';
import { hardwareManifest } from './records.ts';

const AT = new Date('2026-01-01T00:00:00Z');
const EXAMPLE = new URL('../fixtures/eksa-example/', import.meta.url);

export interface PlanSituation {
  readonly hardware?: readonly Hardware[];
  readonly workflows?: readonly Workflow[];
  readonly existing?: PlanInput['existing'];
  readonly options?: Partial<ClusterOptions>;
  readonly environment?: Partial<PlanEnvironment>;
  /** Addresses that somebody has; all others are free. */
  readonly taken?: Readonly<Record<string, Omit<AddressProbe, 'isTaken'>>>;
}

export interface PlanFile {
  readonly name: string;
  readonly text: string;
}

/** Plans the cluster of files; faults of the files themselves are a failure of the test. */
export function planOf(files: readonly PlanFile[], situation: PlanSituation = {}): ClusterPlan {
  const { hardware = [], workflows = [], options, existing, taken = {} } = situation;
  const read = tryReadClusterFiles(files, { hardware, workflows, templates: [] });
  if (read.files === undefined) throw new Error(`the files are faulty:\n${describeProblems(read.problems).join('\n')}`);
  const { definition, machines, placeOf } = read.files;
  const input: PlanInput = {
    definition,
    machines,
    placeOf,
    workflows,
    options: { ...DEFAULT_CLUSTER_OPTIONS, ...options },
    ...(existing && { existing }),
  };
  return planCluster(input, { ...silentHost(taken), ...situation.environment });
}

function silentHost(taken: NonNullable<PlanSituation['taken']>): PlanEnvironment {
  const probes = new Map(Object.entries(taken).map(([address, probe]) => [address, { isTaken: true, ...probe }]));
  return {
    site: { metadataUrl: 'http://192.168.10.64:7172', actionTimeoutMs: 3_600_000 },
    now: AT,
    hostAddresses: ['192.168.10.64'],
    ports: [
      { port: 67, protocol: 'udp', what: 'DHCP' },
      { port: 7172, protocol: 'tcp', what: 'metadata and user data' },
    ],
    probes: { get: (address) => probes.get(address) ?? { isTaken: false } },
    bootstrapper: { name: 'kubeadm', summary: 'Kubernetes by kubeadm' },
    userDataOf: ({ step }) => ({
      text: step === 'init' ? '[settings]\n'.repeat(1000) : '[settings]\n'.repeat(90),
      holdsKeys: true,
      readyBy: 'installed',
    }),
    redact: redactEnvironment,
  };
}

/** A file of the published example. */
export function exampleFile(name: 'cluster.yaml' | 'hardware.csv' | 'hardware-fixed.csv'): PlanFile {
  return { name, text: readFileSync(new URL(name, EXAMPLE), 'utf8') };
}

/** A machine as it is stored. */
export function storedMachine(name: string, number: number, change: Partial<Hardware> = {}): Hardware {
  return {
    ...hardwareManifest(name, number),
    version: 1,
    createdAt: AT,
    stage: 'enrolled',
    stageAt: AT,
    netboot: true,
    hasUserData: false,
    ...change,
  };
}
