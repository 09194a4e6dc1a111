import { TinsmithError } from '#proto/errors.ts';
import type { Taint } from '../../manifests/cluster-kind.ts';
import type { NodeBootstrap } from './bootstrapper.ts';
import { apiEndpoint } from './cluster-endpoint.ts';
import { isAtLeast, type KubernetesVersion, parseKubernetesVersion } from './kubernetes-version.ts';
import { nodeLabelsArgument, nodeName, providerId } from './node-identity.ts';
import { yamlText } from './yaml-text.ts';

/*
 * Configuration files of kubeadm: kubeadm.k8s.io/v1beta3 for Kubernetes 1.22 to 1.30, v1beta4 from 1.31 on, where extra
 * arguments are lists and may repeat.
 */

const OLDEST_MINOR = 22;
const V1BETA4_MINOR = 31;
/** kubeadm patches the kubelet's configuration of single nodes from here on. */
const KUBELET_PATCH_MINOR = 25;
/** From the start of the cluster. kubeadm refuses `expires`, the date, beside the life that it puts in by itself. */
const FIRST_TOKEN_LIFE = '24h0m0s';

/** What differs between the families: names of files on the node, which Bottlerocket wants elsewhere, and what it finds itself. */
export interface KubeadmPaths {
  /** `/etc/kubernetes/pki` */
  readonly certificates: string;
  readonly auditPolicy: string;
  /** Where patches of the kubelet's configuration are, if there are any. */
  readonly patches?: string;
  /** Bottlerocket's root is read-only: these components get their kubeconfigs from here. Absent: from kubeadm's own place. */
  readonly componentKubeconfigs?: string;
  /** Absent: the runtime that kubeadm finds. */
  readonly criSocket?: string;
  /** `v1.28.0`; absent: the node puts in what its own kubeadm says. */
  readonly kubernetesVersion?: string;
}

export const AUDIT_POLICY_INSIDE = '/etc/kubernetes/audit-policy.yaml';
const AUDIT_LOGS = '/var/log/kubernetes';

/** Replaced on the node by what its own kubeadm says: the file names a minor version, the image holds a full one. */
export const VERSION_PLACEHOLDER = 'KUBERNETES_VERSION';

/** Throws `unsupported` for versions that kubeadm's known formats do not cover. */
export function supportedVersion(text: string): KubernetesVersion {
  const version = parseKubernetesVersion(text);
  if (isAtLeast(version, OLDEST_MINOR)) return version;
  throw new TinsmithError(
    'unsupported',
    `cannot write bootstrap data for Kubernetes ${text}: kubeadm's configuration is known from 1.${OLDEST_MINOR} on`,
  );
}

/** The file for `kubeadm init`: ClusterConfiguration and InitConfiguration. */
export function initConfiguration(node: NodeBootstrap, paths: KubeadmPaths): string {
  const { token, definition } = node;
  const version = supportedVersion(node.group.kubernetesVersion);
  const { cluster } = definition;
  const clusterConfiguration = {
    apiVersion: apiVersion(version),
    kind: 'ClusterConfiguration',
    clusterName: cluster.name,
    kubernetesVersion: paths.kubernetesVersion ?? VERSION_PLACEHOLDER,
    controlPlaneEndpoint: apiEndpoint(cluster),
    certificatesDir: paths.certificates,
    networking: { podSubnet: cluster.podCidr, serviceSubnet: cluster.serviceCidr, dnsDomain: 'cluster.local' },
    apiServer: apiServer(node, version, paths),
    controllerManager: {
      extraArgs: extraArguments(version, {
        'node-cidr-mask-size': String(cluster.nodeCidrMaskSize),
        profiling: 'false',
      }),
      ...componentVolumes('controller-manager', paths),
    },
    scheduler: { extraArgs: extraArguments(version, { profiling: 'false' }), ...componentVolumes('scheduler', paths) },
  };
  const configuration = {
    apiVersion: apiVersion(version),
    kind: 'InitConfiguration',
    bootstrapTokens: [
      {
        token: token.token,
        description: 'Nodes of this cluster join with it',
        ttl: FIRST_TOKEN_LIFE,
        usages: ['signing', 'authentication'],
        groups: ['system:bootstrappers:kubeadm:default-node-token'],
      },
    ],
    nodeRegistration: nodeRegistration(node, version, paths),
    ...patches(paths),
  };
  return `${yamlText(clusterConfiguration)}---\n${yamlText(configuration)}`;
}

/** What `kubeadm kubeconfig user` has to know of the cluster to issue an administrator by the authority on the node. */
export function identityConfiguration({ definition, group }: Pick<NodeBootstrap, 'definition' | 'group'>): string {
  const version = supportedVersion(group.kubernetesVersion);
  return yamlText({
    apiVersion: apiVersion(version),
    kind: 'ClusterConfiguration',
    clusterName: definition.cluster.name,
    kubernetesVersion: `v${version.major}.${version.minor}.0`,
    controlPlaneEndpoint: apiEndpoint(definition.cluster),
  });
}

/** The file for `kubeadm join`, of control-plane nodes and workers. `caHash`: see publicKeyHash. */
export function joinConfiguration(node: NodeBootstrap, caHash: string, paths: KubeadmPaths): string {
  const version = supportedVersion(node.group.kubernetesVersion);
  const { token, definition, step } = node;
  const isControlPlane = step === 'joinControlPlane';
  return yamlText({
    apiVersion: apiVersion(version),
    kind: 'JoinConfiguration',
    ...(paths.componentKubeconfigs === undefined ? {} : { caCertPath: `${paths.certificates}/ca.crt` }),
    discovery: {
      bootstrapToken: {
        apiServerEndpoint: apiEndpoint(definition.cluster),
        token: token.token,
        caCertHashes: [caHash],
      },
    },
    nodeRegistration: nodeRegistration(node, version, paths),
    ...(isControlPlane ? { controlPlane: {} } : {}),
    ...patches(paths),
  });
}

/** The group's kubeletConfiguration as a patch for kubeadm; undefined where it has none. Throws `unsupported` before 1.25. */
export function kubeletPatch({ group }: Pick<NodeBootstrap, 'group'>): string | undefined {
  const { kubeletConfiguration } = group;
  if (kubeletConfiguration === undefined) return undefined;
  if (!isAtLeast(supportedVersion(group.kubernetesVersion), KUBELET_PATCH_MINOR)) {
    throw new TinsmithError(
      'unsupported',
      `the group ${group.name} has a kubeletConfiguration, which kubeadm of Kubernetes ${group.kubernetesVersion} cannot ` +
        `give to single nodes; use 1.${KUBELET_PATCH_MINOR} or newer, or leave it out`,
    );
  }
  return yamlText({
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    ...kubeletConfiguration,
  });
}

function apiServer({ definition }: NodeBootstrap, version: KubernetesVersion, paths: KubeadmPaths): object {
  const { certSans, apiServerExtraArgs, endpointHost } = definition.cluster.controlPlane;
  return {
    certSANs: [...new Set([endpointHost, ...certSans])],
    extraArgs: extraArguments(version, {
      profiling: 'false',
      'audit-policy-file': AUDIT_POLICY_INSIDE,
      'audit-log-path': `${AUDIT_LOGS}/api-audit.log`,
      'audit-log-maxage': '30',
      'audit-log-maxbackup': '10',
      'audit-log-maxsize': '512',
      ...apiServerExtraArgs,
    }),
    extraVolumes: [
      {
        name: 'audit-policy',
        hostPath: paths.auditPolicy,
        mountPath: AUDIT_POLICY_INSIDE,
        readOnly: true,
        pathType: 'File',
      },
      {
        name: 'audit-logs',
        hostPath: AUDIT_LOGS,
        mountPath: AUDIT_LOGS,
        readOnly: false,
        pathType: 'DirectoryOrCreate',
      },
    ],
  };
}

function componentVolumes(component: string, { componentKubeconfigs }: KubeadmPaths): object {
  if (componentKubeconfigs === undefined) return {};
  const file = `${component}.conf`;
  const volume = {
    name: 'kubeconfig',
    hostPath: `${componentKubeconfigs}/${file}`,
    mountPath: `/etc/kubernetes/${file}`,
    readOnly: true,
    pathType: 'File',
  };
  return { extraVolumes: [volume] };
}

function nodeRegistration(node: NodeBootstrap, version: KubernetesVersion, paths: KubeadmPaths): object {
  const { group, hardware, definition, step } = node;
  const labels = nodeLabelsArgument(group.labels);
  // kube-vip's file is there before kubeadm is; it is the only one, and ours.
  const ignores = step === 'joinControlPlane' && !definition.cluster.controlPlane.skipLoadBalancerDeployment;
  const taints = nodeTaints(node);
  return {
    name: nodeName(hardware),
    ...(paths.criSocket === undefined ? {} : { criSocket: paths.criSocket }),
    ...(taints === undefined ? {} : { taints }),
    ...(ignores ? { ignorePreflightErrors: ['DirAvailable--etc-kubernetes-manifests'] } : {}),
    kubeletExtraArgs: extraArguments(version, {
      'provider-id': providerId(hardware),
      ...(labels === '' ? {} : { 'node-labels': labels }),
      // Where the group brings a configuration of its own, these are for it to say.
      ...(group.kubeletConfiguration === undefined ? { 'read-only-port': '0', 'anonymous-auth': 'false' } : {}),
    }),
  };
}

/** Undefined: kubeadm's own. A control plane that does the work, too, has none. */
export function nodeTaints({
  group,
  definition,
}: Pick<NodeBootstrap, 'group' | 'definition'>): readonly Taint[] | undefined {
  const worksItself = group.role === 'controlPlane' && definition.cluster.workerGroups.length === 0;
  return worksItself ? [] : group.taints;
}

function patches({ patches: directory }: KubeadmPaths): object {
  return directory === undefined ? {} : { patches: { directory } };
}

function extraArguments(version: KubernetesVersion, values: Readonly<Record<string, string>>): object {
  if (!isAtLeast(version, V1BETA4_MINOR)) return values;
  return Object.entries(values).map(([name, value]) => ({ name, value }));
}

function apiVersion(version: KubernetesVersion): string {
  return `kubeadm.k8s.io/${isAtLeast(version, V1BETA4_MINOR) ? 'v1beta4' : 'v1beta3'}`;
}
