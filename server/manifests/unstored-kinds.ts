import { objectFrame, readLabels } from './object-metadata.ts';
import {
  boolean,
  type Field,
  integer,
  json,
  jsonObject,
  list,
  object,
  optional,
  type Reader,
  record,
  required,
  scalarText,
  secretText,
  text,
} from './yaml-reader.ts';

/**
 * Kinds that stand in the same files as ours. Their fields are checked so that a typing error is found, and nothing of
 * them is stored in this version. Field names: EKS Anywhere's cluster specification, Tinkerbell's bmc group, Kubernetes.
 */

const EKSA = 'anywhere.eks.amazonaws.com/v1alpha1';
const BMC = 'bmc.tinkerbell.org/v1alpha1';

const reference = object({ kind: required(text()), name: required(text()) });
const count = integer(0, 10_000);
const cidrBlocks = object({ cidrBlocks: optional(list(text())) });

const rollout = object({ type: optional(text()), rollingUpdate: optional(jsonObject()) });

const healthCheck = object({
  maxUnhealthy: optional(scalarText()),
  nodeStartupTimeout: optional(text()),
  unhealthyMachineTimeout: optional(text()),
});

const controlPlane = object({
  apiServerExtraArgs: optional(record(scalarText())),
  auditPolicyContent: optional(text()),
  certSans: optional(list(text())),
  count: optional(integer(1, 99)),
  endpoint: optional(object({ host: required(text()) })),
  kubeletConfiguration: optional(jsonObject()),
  labels: optional(readLabels),
  machineGroupRef: optional(reference),
  machineHealthCheck: optional(healthCheck),
  skipAdmissionForSystemResources: optional(boolean()),
  skipLoadBalancerDeployment: optional(boolean()),
  taints: optional(json()),
  upgradeRolloutStrategy: optional(rollout),
});

const workerGroup = object({
  autoscalingConfiguration: optional(object({ minCount: optional(count), maxCount: optional(count) })),
  count: optional(count),
  failureDomains: optional(json()),
  kubeletConfiguration: optional(jsonObject()),
  kubernetesVersion: optional(scalarText()),
  labels: optional(readLabels),
  machineGroupRef: optional(reference),
  machineHealthCheck: optional(healthCheck),
  name: optional(text()),
  taints: optional(json()),
  upgradeRolloutStrategy: optional(rollout),
});

const clusterSpec = {
  bundlesRef: optional(jsonObject()),
  clusterNetwork: optional(
    object({
      cni: optional(text()),
      cniConfig: optional(jsonObject()),
      dns: optional(jsonObject()),
      nodes: optional(object({ cidrMaskSize: optional(integer(1, 128)) })),
      pods: optional(cidrBlocks),
      services: optional(cidrBlocks),
    }),
  ),
  controlPlaneConfiguration: required(controlPlane),
  datacenterRef: required(reference),
  eksaVersion: optional(text()),
  etcdEncryption: optional(json()),
  externalEtcdConfiguration: optional(jsonObject()),
  gitOpsRef: optional(reference),
  identityProviderRefs: optional(list(reference)),
  kubernetesVersion: required(scalarText()),
  licenseToken: optional(secretText()),
  machineHealthCheck: optional(healthCheck),
  managementCluster: optional(object({ name: required(text()) })),
  packages: optional(jsonObject()),
  podIamConfig: optional(jsonObject()),
  proxyConfiguration: optional(jsonObject()),
  registryMirrorConfiguration: optional(jsonObject()),
  workerNodeGroupConfigurations: optional(list(workerGroup)),
};

const datacenterSpec = {
  hookImagesURLPath: optional(text()),
  hookIsoURL: optional(text()),
  isoBoot: optional(boolean()),
  loadBalancerInterface: optional(text()),
  osImageURL: optional(text()),
  skipLoadBalancerDeployment: optional(boolean()),
  tinkerbellIP: required(text()),
};

const bmcConnection = object({
  authSecretRef: optional(object({ name: required(text()), namespace: optional(text()) })),
  host: required(text()),
  insecureTLS: optional(boolean()),
  port: optional(integer(0, 65_535)),
  providerOptions: optional(jsonObject()),
});

const secretFrame = object({
  ...objectFrame,
  type: optional(text()),
  immutable: optional(boolean()),
  data: optional(record(secretText())),
  stringData: optional(record(secretText())),
});

/** `apiVersion/kind` → reader of the whole object. */
export const UNSTORED_KINDS: Readonly<Record<string, Reader<unknown>>> = {
  [`${EKSA}/Cluster`]: withSpec(clusterSpec),
  [`${EKSA}/TinkerbellDatacenterConfig`]: withSpec(datacenterSpec),
  [`${EKSA}/OIDCConfig`]: withFreeSpec(),
  [`${EKSA}/AWSIamConfig`]: withFreeSpec(),
  [`${EKSA}/FluxConfig`]: withFreeSpec(),
  [`${EKSA}/GitOpsConfig`]: withFreeSpec(),
  [`${BMC}/Machine`]: withSpec({ connection: required(bmcConnection) }),
  [`${BMC}/Job`]: withSpec({ machineRef: optional(jsonObject()), tasks: optional(list(jsonObject())) }),
  [`${BMC}/Task`]: withSpec({ connection: optional(bmcConnection), task: optional(jsonObject()) }),
  'tinkerbell.org/v1alpha1/WorkflowRuleSet': withSpec({
    rules: optional(list(text())),
    workflow: optional(jsonObject()),
  }),
  'v1/Secret': secretFrame,
  'v1/Namespace': object({ ...objectFrame, spec: optional(jsonObject()) }),
  'v1/ConfigMap': object({
    ...objectFrame,
    data: optional(record(text())),
    binaryData: optional(record(text())),
    immutable: optional(boolean()),
  }),
};

function withSpec(fields: Readonly<Record<string, Field<unknown, boolean>>>): Reader<unknown> {
  return object({ ...objectFrame, spec: required(object(fields)) });
}

function withFreeSpec(): Reader<unknown> {
  return object({ ...objectFrame, spec: required(jsonObject()) });
}
