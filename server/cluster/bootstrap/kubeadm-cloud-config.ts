import { isIPv6 } from 'node:net';
import { DEFAULT_AUDIT_POLICY } from './audit-policy.ts';
import { BOOTSTRAP_SCRIPT, bootstrapScript, NODE_FOLDER, shellText } from './bootstrap-script.ts';
import { secretOf } from './bootstrap-secrets.ts';
import type { ClusterSecrets, NodeBootstrap } from './bootstrapper.ts';
import { cloudConfig, type NodeFile } from './cloud-config.ts';
import { API_PORT } from './cluster-endpoint.ts';
import { publicKeyHash } from './cluster-pki.ts';
import { containerdSetup } from './containerd-setup.ts';
import { kubeVipPod } from './kube-vip.ts';
import {
  initConfiguration,
  joinConfiguration,
  kubeletPatch,
  supportedVersion,
  VERSION_PLACEHOLDER,
} from './kubeadm-config.ts';
import { isAtLeast } from './kubernetes-version.ts';

const KUBERNETES = '/etc/kubernetes';
const PATCHES = `${KUBERNETES}/patches`;
const AUDIT_POLICY = `${KUBERNETES}/audit-policy.yaml`;
const KUBE_VIP = `${KUBERNETES}/manifests/kube-vip.yaml`;
const CONFIG = `${NODE_FOLDER}/kubeadm.yaml`;
/** From here on admin.conf may do nothing until kubeadm has made its role binding; super-admin.conf may. */
const SUPER_ADMIN_MINOR = 29;

/** Names of the control plane's keys and certificates, below kubeadm's certificate folder. */
export const CONTROL_PLANE_KEYS = [
  'ca.crt',
  'ca.key',
  'etcd/ca.crt',
  'etcd/ca.key',
  'front-proxy-ca.crt',
  'front-proxy-ca.key',
  'sa.pub',
  'sa.key',
] as const;

/** User data of a kubeadm node with cloud-init. */
export function kubeadmCloudConfig(node: NodeBootstrap): string {
  const files = [...kubernetesFiles(node), ...containerdSetup(node.definition).files];
  const script: NodeFile = {
    path: BOOTSTRAP_SCRIPT,
    content: bootstrapScript(node.metadataUrl, scriptBody(node)),
    permissions: '0700',
  };
  return cloudConfig(node, { files: [...files, script], commands: [['/bin/bash', BOOTSTRAP_SCRIPT]] });
}

/** The control plane's keys as files below `folder`. Keys for root alone. */
export function certificateFiles(secrets: ClusterSecrets, folder: string): readonly NodeFile[] {
  return CONTROL_PLANE_KEYS.map((name) => ({
    path: `${folder}/${name}`,
    content: secretOf(secrets, name),
    permissions: name.endsWith('.key') ? '0600' : '0644',
  }));
}

export function auditPolicy({ definition }: NodeBootstrap): string {
  return definition.cluster.controlPlane.auditPolicyContent ?? DEFAULT_AUDIT_POLICY;
}

/** The kubeconfig of the first kube-vip of a cluster, below `folder`; all others use admin.conf. */
export function kubeVipKubeconfig({ group, step }: NodeBootstrap, folder: string): string {
  const needsMore = step === 'init' && isAtLeast(supportedVersion(group.kubernetesVersion), SUPER_ADMIN_MINOR);
  return `${folder}/${needsMore ? 'super-admin.conf' : 'admin.conf'}`;
}

function kubernetesFiles(node: NodeBootstrap): readonly NodeFile[] {
  const { secrets, step } = node;
  const patch = kubeletPatch(node);
  const paths = {
    certificates: `${KUBERNETES}/pki`,
    auditPolicy: AUDIT_POLICY,
    criSocket: 'unix:///var/run/containerd/containerd.sock',
    ...(patch === undefined ? {} : { patches: PATCHES }),
  };
  const caHash = publicKeyHash(secretOf(secrets, 'ca.crt'));
  const config = step === 'init' ? initConfiguration(node, paths) : joinConfiguration(node, caHash, paths);
  const files: NodeFile[] = [{ path: CONFIG, content: config, permissions: '0600' }];
  if (patch !== undefined) {
    const path = `${PATCHES}/kubeletconfiguration0+strategic.yaml`;
    files.push({ path, content: patch, permissions: '0644' });
  }
  if (step === 'joinWorker') return files;
  const pod = kubeVipPod(node.definition.cluster, kubeVipKubeconfig(node, KUBERNETES));
  return [
    ...files,
    ...certificateFiles(secrets, paths.certificates),
    { path: AUDIT_POLICY, content: auditPolicy(node), permissions: '0600' },
    ...(pod === undefined ? [] : [{ path: KUBE_VIP, content: pod, permissions: '0600' } as const]),
  ];
}

function scriptBody(node: NodeBootstrap): string {
  const { group, step } = node;
  const minor = group.kubernetesVersion.replace(/^v/, '');
  return `
readonly minor=${shellText(minor)}
readonly config=${shellText(CONFIG)}

step 'look for kubeadm'
command -v kubeadm >/dev/null || fail 'this image has no kubeadm; choose one for Kubernetes' "$minor"
version=$(kubeadm version -o short)
case "$version" in
  "v$minor".*) ;;
  *) fail "this image has kubeadm $version and the cluster wants $minor" ;;
esac
${containerdSetup(node.definition).script}
systemctl enable --quiet --now containerd || true # an image may bring another runtime
${step === 'init' ? initLines(node) : joinLines(node)}
step 'clean up'
rm -f "$config"`;
}

/** What the image brought is what runs: the machine may have no way to a registry, and EKS Distro names its own. */
const CHOOSE_IMAGES = `
step 'choose images'
images=$(ctr --namespace k8s.io images list -q 2>/dev/null | grep -v @ || true)
api_server=$(grep -m1 "/kube-apiserver:v$minor\\." <<<"$images" || true)
{
  if [ -n "$api_server" ]; then
    echo "kubernetesVersion: \${api_server##*:}"
    echo "imageRepository: \${api_server%/*}"
    etcd=$(grep -m1 '/etcd:' <<<"$images" || true)
    [ -z "$etcd" ] || printf 'etcd:\\n  local:\\n    imageRepository: %s\\n    imageTag: %s\\n' "\${etcd%/*}" "\${etcd##*:}"
    dns=$(grep -m1 '/coredns:' <<<"$images" || true)
    [ -z "$dns" ] || printf 'dns:\\n  imageRepository: %s\\n  imageTag: %s\\n' "\${dns%/*}" "\${dns##*:}"
  else
    echo "kubernetesVersion: $version"
  fi
} >"$config.images"
sed -i -e "/^kubernetesVersion: ${VERSION_PLACEHOLDER}$/{r $config.images" -e 'd}' "$config"
rm -f "$config.images"`;

function initLines(node: NodeBootstrap): string {
  const usesSuperAdmin = kubeVipKubeconfig(node, KUBERNETES).endsWith('super-admin.conf');
  const skipsKubeVip = node.definition.cluster.controlPlane.skipLoadBalancerDeployment;
  // admin.conf may do what kube-vip needs by now, and super-admin.conf can be put away.
  const switchBack = `
step 'give kube-vip the ordinary administrator'
sed -i 's#path: ${KUBERNETES}/super-admin.conf#path: ${KUBERNETES}/admin.conf#' ${shellText(KUBE_VIP)}`;
  return `${CHOOSE_IMAGES}

step 'kubeadm init'
kubeadm init --config "$config" --skip-token-print
${usesSuperAdmin && !skipsKubeVip ? switchBack : ''}
${waitForEndpoint(node)}`;
}

function joinLines(node: NodeBootstrap): string {
  return `${waitForEndpoint(node)}

step 'kubeadm join'
kubeadm join --config "$config"
`;
}

function waitForEndpoint({ definition }: NodeBootstrap): string {
  const host = definition.cluster.controlPlane.endpointHost;
  return `
step ${shellText(`wait for the API server at ${isIPv6(host) ? `[${host}]` : host}:${API_PORT}`)}
reached=''
for _ in {1..120}; do
  if timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' ${shellText(host)} ${API_PORT} 2>/dev/null; then
    reached=yes
    break
  fi
  sleep 5
done
[ -n "$reached" ] || fail 'nothing answers there'
`;
}
