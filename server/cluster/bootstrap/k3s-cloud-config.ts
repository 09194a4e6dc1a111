import { createHash } from 'node:crypto';
import { DEFAULT_AUDIT_POLICY } from './audit-policy.ts';
import { BOOTSTRAP_SCRIPT, bootstrapScript, shellText } from './bootstrap-script.ts';
import { secretOf } from './bootstrap-secrets.ts';
import type { ClusterSecrets, NodeBootstrap } from './bootstrapper.ts';
import { cloudConfig, type NodeFile } from './cloud-config.ts';
import { apiUrl } from './cluster-endpoint.ts';
import { kubeVipPod } from './kube-vip.ts';
import { nodeTaints, supportedVersion } from './kubeadm-config.ts';
import { nodeLabelsArgument, nodeName, providerId } from './node-identity.ts';
import { nodeProxy, proxyDropIn } from './node-proxy.ts';
import { mirroredRegistries, mirrorHost } from './registry-mirror.ts';
import { yamlText } from './yaml-text.ts';

const CONFIGURATION = '/etc/rancher/k3s';
const DATA = '/var/lib/rancher/k3s';
const AUDIT_POLICY = `${CONFIGURATION}/audit-policy.yaml`;
const AUDIT_LOGS = `${DATA}/server/logs`;

/** k3s takes its authorities from here instead of making them; other servers get them from the first. */
const SERVER_KEYS = ['server-ca', 'client-ca', 'request-header-ca', 'etcd/server-ca', 'etcd/peer-ca'].flatMap(
  (name) => [`${name}.crt`, `${name}.key`],
);

/** User data of a k3s node, with cloud-init. */
export function k3sCloudConfig(node: NodeBootstrap): string {
  const isServer = node.step !== 'joinWorker';
  const service = isServer ? 'k3s' : 'k3s-agent';
  const proxy = nodeProxy(node.definition);
  const files: readonly NodeFile[] = [
    { path: `${CONFIGURATION}/config.yaml`, content: configuration(node), permissions: '0600' },
    ...registries(node),
    ...(proxy === undefined ? [] : [proxyDropIn(service, proxy)]),
    ...(isServer ? serverFiles(node) : []),
    {
      path: `/etc/systemd/system/${service}.service`,
      content: unit(isServer ? 'server' : 'agent'),
      permissions: '0644',
    },
    {
      path: BOOTSTRAP_SCRIPT,
      content: bootstrapScript(node.metadataUrl, scriptBody(node, service)),
      permissions: '0700',
    },
  ];
  return cloudConfig(node, { files, commands: [['/bin/bash', BOOTSTRAP_SCRIPT]] });
}

/** config.yaml: tokens are in this file, never among arguments. */
function configuration(node: NodeBootstrap): string {
  const { hardware, group, step, secrets } = node;
  const labels = nodeLabelsArgument(group.labels);
  const taints = nodeTaints(node) ?? [];
  const common = {
    'node-name': nodeName(hardware),
    ...(labels === '' ? {} : { 'node-label': labels.split(',') }),
    ...(taints.length === 0
      ? {}
      : { 'node-taint': taints.map(({ key, value = '', effect }) => `${key}=${value}:${effect}`) }),
    'kubelet-arg': [`provider-id=${providerId(hardware)}`],
  };
  const server = apiUrl(node.definition.cluster);
  if (step === 'joinWorker') return yamlText({ server, token: pinnedToken(secrets, 'node', 'agent-token'), ...common });
  return yamlText({
    ...(step === 'init' ? { 'cluster-init': true } : { server }),
    // The first server makes the cluster with the secret alone; the others check whom they talk to.
    token: step === 'init' ? secretOf(secrets, 'server-token') : pinnedToken(secrets, 'server', 'server-token'),
    'agent-token': secretOf(secrets, 'agent-token'),
    ...serverOptions(node),
    ...common,
  });
}

function serverOptions({ definition }: NodeBootstrap): object {
  const { cluster } = definition;
  const { endpointHost, certSans, apiServerExtraArgs, skipLoadBalancerDeployment } = cluster.controlPlane;
  const apiServer = {
    'audit-policy-file': AUDIT_POLICY,
    'audit-log-path': `${AUDIT_LOGS}/api-audit.log`,
    'audit-log-maxage': '30',
    'audit-log-maxbackup': '10',
    'audit-log-maxsize': '512',
    ...apiServerExtraArgs,
  };
  // kube-vip serves Services of a cluster without workers; k3s' own load balancer would take the same addresses.
  const disablesServiceLb = cluster.workerGroups.length === 0 && !skipLoadBalancerDeployment;
  return {
    'tls-san': [...new Set([endpointHost, ...certSans])],
    'cluster-cidr': cluster.podCidr,
    'service-cidr': cluster.serviceCidr,
    'kube-controller-manager-arg': [`node-cidr-mask-size=${cluster.nodeCidrMaskSize}`],
    'kube-apiserver-arg': Object.entries(apiServer).map(([name, value]) => `${name}=${value}`),
    'write-kubeconfig-mode': '0600',
    ...(disablesServiceLb ? { disable: ['servicelb'] } : {}),
  };
}

/** k3s' full form: the hash of the authority's file, so that a node joins only the cluster that is meant. */
function pinnedToken(secrets: ClusterSecrets, user: 'server' | 'node', name: string): string {
  const hash = createHash('sha256').update(secretOf(secrets, 'server-ca.crt')).digest('hex');
  return `K10${hash}::${user}:${secretOf(secrets, name)}`;
}

function serverFiles({ definition, secrets, step }: NodeBootstrap): readonly NodeFile[] {
  const pod = kubeVipPod(definition.cluster, `${CONFIGURATION}/k3s.yaml`);
  const policy = definition.cluster.controlPlane.auditPolicyContent ?? DEFAULT_AUDIT_POLICY;
  const keys = step === 'init' ? [...SERVER_KEYS, 'service.key'] : [];
  return [
    { path: AUDIT_POLICY, content: policy, permissions: '0600' },
    ...(pod === undefined
      ? []
      : [{ path: `${DATA}/agent/pod-manifests/kube-vip.yaml`, content: pod, permissions: '0600' } as const]),
    ...keys.map(
      (name): NodeFile => ({
        path: `${DATA}/server/tls/${name}`,
        content: secretOf(secrets, name),
        permissions: name.endsWith('.key') ? '0600' : '0644',
      }),
    ),
  ];
}

function registries({ definition }: NodeBootstrap): readonly NodeFile[] {
  const { registryMirror } = definition.cluster;
  if (registryMirror === undefined) return [];
  const { caCertContent, insecureSkipVerify } = registryMirror;
  const authority = `${CONFIGURATION}/mirror-ca.crt`;
  const tls = {
    ...(caCertContent === undefined ? {} : { ca_file: authority }),
    ...(insecureSkipVerify ? { insecure_skip_verify: true } : {}),
  };
  const mirrors = mirroredRegistries(registryMirror).map(
    ({ registry = '*', url }) => [registry, { endpoint: [url] }] as const,
  );
  const content = yamlText({
    mirrors: Object.fromEntries(mirrors),
    ...(Object.keys(tls).length === 0 ? {} : { configs: { [mirrorHost(registryMirror)]: { tls } } }),
  });
  const file: NodeFile = { path: `${CONFIGURATION}/registries.yaml`, content, permissions: '0600' };
  return caCertContent === undefined
    ? [file]
    : [file, { path: authority, content: caCertContent, permissions: '0644' }];
}

/** k3s' own unit in what matters: it says when it is ready, and its containers outlive a restart. */
function unit(role: 'server' | 'agent'): string {
  return `[Unit]
Description=Lightweight Kubernetes
Documentation=https://docs.k3s.io
Wants=network-online.target
After=network-online.target

[Service]
Type=${role === 'server' ? 'notify' : 'exec'}
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s ${role}
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
`;
}

/** systemd counts an agent as started before it has joined; its kubelet answers only after. */
const WAIT_FOR_KUBELET = `
step 'wait for the kubelet'
for _ in {1..180}; do
  if timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/10248' 2>/dev/null; then joined=yes; break; fi
  sleep 5
done
[ -n "\${joined:-}" ] || fail 'it did not join; see journalctl -u k3s-agent'
`;

function scriptBody(node: NodeBootstrap, service: string): string {
  const { major, minor } = supportedVersion(node.group.kubernetesVersion);
  const proxy = nodeProxy(node.definition);
  const exports =
    proxy === undefined
      ? ''
      : `export HTTP_PROXY=${shellText(proxy.http)} HTTPS_PROXY=${shellText(proxy.https)} NO_PROXY=${shellText(proxy.except.join(','))}`;
  return `
readonly minor=${shellText(`${major}.${minor}`)}
readonly k3s=/usr/local/bin/k3s
${exports}
if [ ! -x "$k3s" ]; then
  step 'fetch k3s'
  case "$(uname -m)" in
    x86_64) suffix='' architecture=amd64 ;;
    aarch64) suffix=-arm64 architecture=arm64 ;;
    *) fail "there is no k3s for $(uname -m)" ;;
  esac
  page=$(curl -fsSL --retry 5 -o /dev/null -w '%{url_effective}' "https://update.k3s.io/v1-release/channels/v$minor")
  release="https://github.com/k3s-io/k3s/releases/download/\${page##*/}"
  curl -fsSL --retry 5 -o "$k3s.part" "$release/k3s$suffix"
  wanted=$(curl -fsSL --retry 5 "$release/sha256sum-$architecture.txt" | awk -v name="k3s$suffix" '$2 == name { print $1 }')
  [ -n "$wanted" ] || fail "the release \${page##*/} has no checksum of k3s$suffix"
  echo "$wanted  $k3s.part" | sha256sum --check --quiet || fail 'the checksum of k3s is another one'
  chmod 0755 "$k3s.part"
  mv "$k3s.part" "$k3s"
fi

step 'look at k3s'
version=$("$k3s" --version | awk 'NR == 1 { print $3 }')
case "$version" in
  "v$minor".*) ;;
  *) fail "this image has k3s $version and the cluster wants $minor" ;;
esac

step ${shellText(`start ${service}`)}
systemctl daemon-reload
systemctl enable --quiet ${service}
timeout 900 systemctl start ${service}
${node.step === 'joinWorker' ? WAIT_FOR_KUBELET : ''}`;
}
