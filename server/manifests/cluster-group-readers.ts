import type {
  ControlPlaneConfiguration,
  HealthCheck,
  RolloutStrategy,
  Taint,
  WorkerGroupConfiguration,
} from './cluster-kind.ts';
import { CONTROL_PLANE } from './cluster-kind.ts';
import { faultOfGoDuration, goDurationMs } from './go-duration.ts';
import { faultOfKubernetesVersion } from './kubernetes-version.ts';
import { faultOfIpv4 } from './network-address.ts';
import { readLabels } from './object-metadata.ts';
import { faultOfLabelKey, faultOfLabelValue, faultOfObjectName } from './object-names.ts';
import {
  boolean,
  entry,
  integer,
  json,
  jsonObject,
  list,
  noted,
  object,
  optional,
  type Reader,
  record,
  refined,
  refuseAt,
  required,
  scalarText,
  text,
  warnAt,
  word,
  type YamlValue,
} from './yaml-reader.ts';

/** A reference by name to an object of one kind, in the same files. */
export function referenceTo<const K extends string>(kind: K): Reader<string> {
  const fields = object({ kind: required(word([kind])), name: required(noted(text(faultOfObjectName))) });
  return refined(fields, ({ name }) => name);
}

export const MOST_NODES = 10_000;
export const MOST_CONTROL_PLANES = 99;
const count = integer(0, MOST_NODES);

const readDuration = text(faultOfGoDuration);

/** `machineHealthCheck`, as far as it is given. */
export const readHealthCheck = object({
  maxUnhealthy: optional(scalarText(faultOfShare)),
  nodeStartupTimeout: optional(readDuration),
  unhealthyMachineTimeout: optional(readDuration),
});

type GivenHealthCheck = NonNullable<ReturnType<typeof readHealthCheck>>;

function faultOfShare(share: string): string | undefined {
  const isShare = /^\d{1,6}$/.test(share) || /^(\d{1,2}|100)%$/.test(share);
  return isShare ? undefined : 'is neither a count nor a percentage: write it like 1 or "40%"';
}

/** What a group gives for itself, then what its cluster gives, then EKS Anywhere's defaults for bare metal. */
export function healthCheckOf(
  group: GivenHealthCheck | undefined,
  cluster: GivenHealthCheck | undefined,
  maxUnhealthy: string,
): HealthCheck {
  const given = { ...cluster, ...group };
  return {
    nodeStartupTimeoutMs: goDurationMs(given.nodeStartupTimeout ?? '20m') ?? 0,
    unhealthyMachineTimeoutMs: goDurationMs(given.unhealthyMachineTimeout ?? '5m') ?? 0,
    maxUnhealthy: given.maxUnhealthy ?? maxUnhealthy,
  };
}

const readTaints: Reader<readonly Taint[]> = list(
  refined(
    object({
      key: required(text(faultOfLabelKey)),
      value: optional(text(faultOfLabelValue)),
      effect: required(word(['NoSchedule', 'PreferNoSchedule', 'NoExecute'])),
      timeAdded: optional(json()),
    }),
    ({ key, value, effect }): Taint => ({ key, effect, ...(value === undefined ? {} : { value }) }),
  ),
);

const ROLLOUT_TYPES = ['RollingUpdate', 'InPlace'] as const;
const IN_PLACE: RolloutStrategy = { type: 'InPlace', maxSurge: 0, maxUnavailable: 0 };

/** Without `rollingUpdate` the surge is 1; EKS Anywhere accepts that and crashes on it later. */
const readControlPlaneRollout: Reader<RolloutStrategy> = refined(
  object({
    type: optional(word(ROLLOUT_TYPES)),
    rollingUpdate: optional(object({ maxSurge: required(integer(0, 1)) })),
  }),
  ({ type = 'RollingUpdate', rollingUpdate }, value) => {
    if (type === 'InPlace') return rollingUpdate === undefined ? IN_PLACE : refuseRollingUpdate(value);
    const maxSurge = rollingUpdate?.maxSurge ?? 1;
    return { type, maxSurge, maxUnavailable: 1 - maxSurge };
  },
);

const readWorkerRollout: Reader<RolloutStrategy> = refined(
  object({
    type: optional(word(ROLLOUT_TYPES)),
    rollingUpdate: optional(object({ maxSurge: optional(count), maxUnavailable: optional(count) })),
  }),
  ({ type = 'RollingUpdate', rollingUpdate }, value) => {
    if (type === 'InPlace') return rollingUpdate === undefined ? IN_PLACE : refuseRollingUpdate(value);
    const { path } = value;
    if (rollingUpdate === undefined) {
      const fix = 'add it, for example rollingUpdate: {maxSurge: 1, maxUnavailable: 0}';
      return refuseAt(value, 'rollingUpdate', `${path}.rollingUpdate is missing and the type is RollingUpdate: ${fix}`);
    }
    const { maxSurge = 0, maxUnavailable = 0 } = rollingUpdate;
    if (maxSurge > 0 || maxUnavailable > 0) return { type, maxSurge, maxUnavailable };
    const fact = `${path}.rollingUpdate allows neither more nodes nor fewer, so none could be replaced`;
    return refuseAt(value, 'rollingUpdate', `${fact}: set maxSurge or maxUnavailable to 1`);
  },
);

function refuseRollingUpdate(value: YamlValue): undefined {
  const message = `${value.path}.rollingUpdate does not go with the type InPlace: remove it`;
  return refuseAt(value, 'rollingUpdate', message);
}

export const readControlPlane = refined(
  object({
    apiServerExtraArgs: optional(record(scalarText())),
    auditPolicyContent: optional(text()),
    certSans: optional(list(text(faultOfCertificateName))),
    count: optional(noted(integer(1, MOST_CONTROL_PLANES))),
    endpoint: required(object({ host: required(noted(text(faultOfHost))) })),
    kubeletConfiguration: optional(jsonObject()),
    labels: optional(readLabels),
    machineGroupRef: required(referenceTo('TinkerbellMachineConfig')),
    machineHealthCheck: optional(readHealthCheck),
    skipAdmissionForSystemResources: optional(boolean()),
    skipLoadBalancerDeployment: optional(boolean()),
    taints: optional(noted(readTaints)),
    upgradeRolloutStrategy: optional(noted(readControlPlaneRollout)),
  }),
  (made, value) => {
    const { findings } = value.scope;
    const before = findings.problemCount;
    checkControlPlane(made, value);
    if (made.skipAdmissionForSystemResources !== undefined) {
      warnAt(value, 'skipAdmissionForSystemResources', `${value.path}.skipAdmissionForSystemResources is not acted on`);
    }
    return findings.problemCount > before ? undefined : made;
  },
);

type GivenControlPlane = NonNullable<ReturnType<typeof readControlPlane>>;

function checkControlPlane(
  made: Pick<GivenControlPlane, 'count' | 'endpoint' | 'skipLoadBalancerDeployment' | 'upgradeRolloutStrategy'>,
  value: YamlValue,
): void {
  const { count: nodes = 1, endpoint, skipLoadBalancerDeployment = false, upgradeRolloutStrategy } = made;
  const { path } = value;
  checkMajority(nodes, value);
  const { host } = endpoint;
  const fault = skipLoadBalancerDeployment ? undefined : faultOfIpv4(host);
  if (fault !== undefined) {
    const fix = 'or set skipLoadBalancerDeployment: true if the name leads to a load balancer of your own';
    refuseAt(entry(value, 'endpoint') ?? value, 'host', `${path}.endpoint.host ${host} ${fault}, ${fix}`, host);
  }
  if (upgradeRolloutStrategy?.type === 'RollingUpdate' && upgradeRolloutStrategy.maxSurge === 0 && nodes < 3) {
    const fact = `${path}.upgradeRolloutStrategy has maxSurge 0, which takes a node out before its replacement comes`;
    refuseAt(value, 'upgradeRolloutStrategy', `${fact}: that needs a count of 3, or maxSurge: 1`);
  }
}

function checkMajority(nodes: number, value: YamlValue): void {
  const at = `${value.path}.count is ${nodes}`;
  const fault = faultOfMajority(nodes);
  if (fault !== undefined) refuseAt(value, 'count', `${at}, ${fault}`, String(nodes));
  else if (nodes !== 3 && nodes !== 5) {
    const fact = nodes === 1 ? 'does not survive the loss of its machine' : 'makes every write slower';
    warnAt(value, 'count', `${at}, which ${fact}: EKS Anywhere recommends 3 or 5`);
  }
}

/** Why a control plane cannot have so many nodes. */
export function faultOfMajority(nodes: number): string | undefined {
  if (nodes % 2 !== 0) return undefined;
  return `which is even: write ${nodes - 1} or ${nodes + 1}, so that etcd has a majority`;
}

export function controlPlaneOf(
  given: GivenControlPlane,
  clusterHealth: GivenHealthCheck | undefined,
): ControlPlaneConfiguration {
  const { taints, kubeletConfiguration, auditPolicyContent } = given;
  return {
    count: given.count ?? 1,
    endpointHost: given.endpoint.host,
    machineConfig: given.machineGroupRef,
    rollout: given.upgradeRolloutStrategy ?? { type: 'RollingUpdate', maxSurge: 1, maxUnavailable: 0 },
    labels: given.labels ?? {},
    certSans: given.certSans ?? [],
    skipLoadBalancerDeployment: given.skipLoadBalancerDeployment ?? false,
    apiServerExtraArgs: given.apiServerExtraArgs ?? {},
    healthCheck: healthCheckOf(given.machineHealthCheck, clusterHealth, '100%'),
    ...(taints === undefined ? {} : { taints }),
    ...(kubeletConfiguration === undefined ? {} : { kubeletConfiguration }),
    ...(auditPolicyContent === undefined ? {} : { auditPolicyContent }),
  };
}

function faultOfHost(host: string): string | undefined {
  return faultOfIpv4(host) === undefined ? undefined : faultOfObjectName(host.toLowerCase());
}

function faultOfCertificateName(name: string): string | undefined {
  return faultOfHost(name.replace(/^\*\./, '')) === undefined
    ? undefined
    : 'is neither an IP address nor a DNS name: write one that clients reach the API server by';
}

export const readWorkerGroup = refined(
  object({
    autoscalingConfiguration: optional(object({ minCount: optional(count), maxCount: optional(count) })),
    count: optional(noted(count)),
    failureDomains: optional(json()),
    kubeletConfiguration: optional(jsonObject()),
    kubernetesVersion: optional(noted(scalarText(faultOfKubernetesVersion))),
    labels: optional(readLabels),
    machineGroupRef: required(referenceTo('TinkerbellMachineConfig')),
    machineHealthCheck: optional(readHealthCheck),
    name: optional(noted(text(faultOfGroupName))),
    taints: optional(noted(readTaints)),
    upgradeRolloutStrategy: optional(noted(readWorkerRollout)),
  }),
  (made, value) => {
    const { findings } = value.scope;
    const before = findings.problemCount;
    checkAutoscaling(made, value);
    return findings.problemCount > before ? undefined : made;
  },
);

export type GivenWorkerGroup = NonNullable<ReturnType<typeof readWorkerGroup>>;

function faultOfGroupName(name: string): string | undefined {
  if (name === CONTROL_PLANE) return 'is the name of the control plane: choose another';
  if (name.length > 63) return `has ${name.length} characters: use at most 63`;
  return faultOfObjectName(name);
}

function checkAutoscaling(
  made: Pick<GivenWorkerGroup, 'autoscalingConfiguration' | 'count' | 'upgradeRolloutStrategy'>,
  value: YamlValue,
): void {
  const scaling = made.autoscalingConfiguration;
  if (scaling === undefined) return;
  const { minCount = 0, maxCount = 0 } = scaling;
  const { path } = value;
  const nodes = made.count ?? minCount;
  const at = `${path}.autoscalingConfiguration`;
  if (minCount > maxCount) {
    refuseAt(value, 'autoscalingConfiguration', `${at} has minCount ${minCount} above maxCount ${maxCount}: swap them`);
  } else if (nodes < minCount || nodes > maxCount) {
    const fact = `${path}.count is ${nodes} and autoscaling goes from ${minCount} to ${maxCount}`;
    refuseAt(value, 'count', `${fact}: choose a count in between`, String(nodes));
  }
  if (made.upgradeRolloutStrategy?.type === 'InPlace') {
    refuseAt(value, 'autoscalingConfiguration', `${at} does not go with the rollout type InPlace: remove one of them`);
  }
  warnAt(value, 'autoscalingConfiguration', `${at} is not acted on: the group has ${nodes} nodes until you scale it`);
}

export function workerGroupOf(
  given: GivenWorkerGroup,
  name: string,
  clusterHealth: GivenHealthCheck | undefined,
): WorkerGroupConfiguration {
  const { kubernetesVersion, kubeletConfiguration } = given;
  return {
    name,
    count: given.count ?? given.autoscalingConfiguration?.minCount ?? 1,
    machineConfig: given.machineGroupRef,
    rollout: given.upgradeRolloutStrategy ?? { type: 'RollingUpdate', maxSurge: 1, maxUnavailable: 0 },
    labels: given.labels ?? {},
    taints: given.taints ?? [],
    healthCheck: healthCheckOf(given.machineHealthCheck, clusterHealth, '40%'),
    ...(kubernetesVersion === undefined ? {} : { kubernetesVersion }),
    ...(kubeletConfiguration === undefined ? {} : { kubeletConfiguration }),
  };
}
