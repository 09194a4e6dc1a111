import { TinsmithError } from '#proto/errors.ts';
import type { JsonObject, JsonValue } from '../../manifests/hardware-kind.ts';
import { secretOf } from './bootstrap-secrets.ts';
import type { NodeBootstrap } from './bootstrapper.ts';
import { kubernetesSettings, tomlValue } from './bottlerocket-names.ts';
import type { NodeFile } from './cloud-config.ts';
import { clusterDnsAddress } from './cluster-dns-address.ts';
import { apiUrl } from './cluster-endpoint.ts';
import { publicKeyHash } from './cluster-pki.ts';
import { kubeVipKubeconfig, kubeVipPod } from './kube-vip.ts';
import { auditPolicy, certificateFiles } from './kubeadm-cloud-config.ts';
import { initConfiguration, joinConfiguration, nodeTaints, supportedVersion } from './kubeadm-config.ts';
import { nodeLabelsArgument, nodeName, providerId } from './node-identity.ts';
import { nodeProxy } from './node-proxy.ts';
import { mirroredRegistries } from './registry-mirror.ts';
import { type TomlTable, tomlText } from './toml.ts';
import { yamlText } from './yaml-text.ts';

/*
 * User data of Bottlerocket: settings as TOML. Workers join by Bottlerocket itself, which knows bootstrap tokens (settings
 * `api-server`, `cluster-certificate`, `bootstrap-token`). Control-plane nodes start without a cluster (`standalone-mode`) and
 * are made one by EKS Anywhere's bootstrap container, which runs kubeadm with the files in its own user data; everything
 * Kubernetes is below /var/lib/kubeadm, since the root is read-only.
 */

const KUBEADM = '/var/lib/kubeadm';
/** EKS Anywhere tags it by release, `v1-28-…-eks-a-…`; which one, its bundle manifest says, and the operator by annotation. */
const BOOTSTRAP_REPOSITORY = 'public.ecr.aws/eks-anywhere/bottlerocket-bootstrap';

/** Everything of a node that kubeadm makes. */
export function kubeadmBottlerocket(node: NodeBootstrap): string {
  const { group, step } = node;
  const isWorker = step === 'joinWorker';
  return tomlText({
    settings: {
      ...systemSettings(node),
      kubernetes: {
        ...(isWorker ? workerKubernetes(node) : controlPlaneKubernetes()),
        'cluster-domain': 'cluster.local',
        'authentication-mode': 'tls',
        'server-tls-bootstrap': false,
        'provider-id': providerId(node.hardware),
        ...kubernetesSettings(group.kubeletConfiguration, 'kubeletConfiguration'),
        ...kubernetesSettings(section(node, 'kubernetes'), 'bottlerocketConfiguration.kubernetes'),
        'node-labels': checkedLabels(group.labels),
        'node-taints': taintSettings(node),
      },
      'host-containers': {
        ...hostContainers(node),
        ...(isWorker ? {} : { 'kubeadm-bootstrap': bootstrapContainer(node) }),
      },
    },
  });
}

/** A node that the operator has access to and that is in no cluster. */
export function bottlerocketAccess(node: NodeBootstrap): string {
  return tomlText({
    settings: {
      ...systemSettings(node),
      kubernetes: { 'standalone-mode': true, 'cluster-domain': 'cluster.local', 'authentication-mode': 'tls' },
      'host-containers': hostContainers(node),
    },
  });
}

function workerKubernetes({ definition, secrets, token }: NodeBootstrap): TomlTable {
  const { cluster } = definition;
  return {
    'cluster-name': cluster.name,
    'api-server': apiUrl(cluster),
    'cluster-certificate': base64(secretOf(secrets, 'ca.crt')),
    'cluster-dns-ip': clusterDnsAddress(cluster.serviceCidr),
    'bootstrap-token': token.token,
    'standalone-mode': false,
  };
}

function controlPlaneKubernetes(): TomlTable {
  return { 'standalone-mode': true };
}

/** The bootstrap container's own user data: files and which of its sequences to run. */
function bootstrapContainer(node: NodeBootstrap): TomlTable {
  const isInit = node.step === 'init';
  const paths = {
    certificates: `${KUBEADM}/pki`,
    auditPolicy: `${KUBEADM}/audit-policy.yaml`,
    componentKubeconfigs: KUBEADM,
  };
  const caHash = publicKeyHash(secretOf(node.secrets, 'ca.crt'));
  const { major, minor } = supportedVersion(node.group.kubernetesVersion);
  const config: NodeFile = isInit
    ? {
        path: '/tmp/kubeadm.yaml',
        content: initConfiguration(node, { ...paths, kubernetesVersion: `v${major}.${minor}.0` }),
        permissions: '0600',
      }
    : { path: '/tmp/kubeadm-join-config.yaml', content: joinConfiguration(node, caHash, paths), permissions: '0600' };
  const pod = kubeVipPod(node.definition.cluster, kubeVipKubeconfig(node, KUBEADM));
  const files: readonly NodeFile[] = [
    ...certificateFiles(node.secrets, paths.certificates),
    { path: paths.auditPolicy, content: auditPolicy(node), permissions: '0600' },
    ...(pod === undefined
      ? []
      : [{ path: '/etc/kubernetes/manifests/kube-vip.yaml', content: pod, permissions: '0600' } as const]),
    config,
  ];
  const userData = {
    write_files: files.map((file) => ({ owner: 'root:root', ...file })),
    runcmd: isInit ? 'ControlPlaneInit' : 'ControlPlaneJoin',
  };
  return {
    enabled: true,
    superpowered: true,
    source: node.definition.cluster.bottlerocketBootstrapImage ?? `${BOOTSTRAP_REPOSITORY}:v${major}-${minor}-latest`,
    'user-data': base64(`#cloud-config\n${yamlText(userData)}`),
  };
}

/** What every Bottlerocket has: name, time, proxies, mirrors, authorities, kernel and boot. */
function systemSettings(node: NodeBootstrap): TomlTable {
  const { definition, group, hardware } = node;
  const { registryMirror } = definition.cluster;
  const { ntpServers, certBundles } = group.machineConfig;
  const proxy = nodeProxy(definition);
  if (registryMirror?.insecureSkipVerify === true) {
    throw new TinsmithError(
      'unsupported',
      'registryMirrorConfiguration.insecureSkipVerify cannot be had with Bottlerocket: give caCertContent instead',
    );
  }
  const bundles = certBundles.map(({ name, data }) => [name, { data: base64(data), trusted: true }] as const);
  const mirrorAuthority = registryMirror?.caCertContent;
  return {
    network: {
      hostname: nodeName(hardware),
      ...(proxy === undefined ? {} : { 'https-proxy': proxy.https, 'no-proxy': proxy.except }),
    },
    ...(ntpServers.length === 0 ? {} : { ntp: { 'time-servers': ntpServers } }),
    pki: {
      ...Object.fromEntries(bundles),
      ...(mirrorAuthority === undefined
        ? {}
        : { 'registry-mirror-ca': { data: base64(mirrorAuthority), trusted: true } }),
    },
    ...(registryMirror === undefined
      ? {}
      : {
          'container-registry': {
            mirrors: mirroredRegistries(registryMirror).map(({ registry = '*', url }) => ({
              registry,
              endpoint: [url],
            })),
          },
        }),
    kernel: { sysctl: settingsTable(section(node, 'kernel'), 'sysctlSettings') },
    boot: bootSettings(section(node, 'boot')),
  };
}

function bootSettings(boot: JsonObject | undefined): TomlTable {
  const parameters = settingsTable(boot, 'bootKernelParameters');
  // Kernel parameters count from the next boot on: without this they would wait for somebody's.
  return Object.keys(parameters).length === 0 ? {} : { 'reboot-to-reconcile': true, 'kernel-parameters': parameters };
}

function settingsTable(values: JsonObject | undefined, name: string): TomlTable {
  const found = values?.[name];
  if (found === undefined || !isObject(found)) return {};
  const entries = Object.entries(found).flatMap(([key, value]) =>
    value === undefined ? [] : [[key, tomlValue(value, `bottlerocketConfiguration ${name}.${key}`)] as const],
  );
  return Object.fromEntries(entries);
}

/** `admin`: SSH for all users' keys, as one user. `control` is the agent of AWS Systems Manager, which has no use here. */
function hostContainers({ group }: NodeBootstrap): TomlTable {
  const keys = group.machineConfig.users.flatMap(({ sshAuthorizedKeys }) => sshAuthorizedKeys);
  return {
    admin: {
      enabled: true,
      superpowered: true,
      'user-data': base64(JSON.stringify({ ssh: { 'authorized-keys': [...new Set(keys)] } })),
    },
    control: { enabled: false },
  };
}

function taintSettings(node: NodeBootstrap): TomlTable {
  const settings: Record<string, string[]> = {};
  for (const { key, value = '', effect } of nodeTaints(node) ?? []) {
    (settings[key] ??= []).push(`${value}:${effect}`);
  }
  return settings;
}

function checkedLabels(labels: Readonly<Record<string, string>>): TomlTable {
  nodeLabelsArgument(labels);
  return labels;
}

function section({ group }: NodeBootstrap, name: 'kubernetes' | 'kernel' | 'boot'): JsonObject | undefined {
  const value = group.machineConfig.bottlerocketConfiguration?.[name];
  return isObject(value) ? value : undefined;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
