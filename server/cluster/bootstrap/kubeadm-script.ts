import { isIPv6 } from 'node:net';
import { shellText } from './bootstrap-script.ts';
import type { NodeBootstrap } from './bootstrapper.ts';
import { API_PORT } from './cluster-endpoint.ts';
import { containerdSetup } from './containerd-setup.ts';
import { kubeVipKubeconfig } from './kube-vip.ts';
import { identityConfiguration, VERSION_PLACEHOLDER } from './kubeadm-config.ts';

export interface ScriptPaths {
  /** kubeadm's file. */
  readonly config: string;
  /** `/etc/kubernetes` */
  readonly kubernetes: string;
  readonly kubeVip: string;
}

/** The lines that make a machine a node with kubeadm; see bootstrapScript. */
export function kubeadmScript(node: NodeBootstrap, paths: ScriptPaths): string {
  const { group, step } = node;
  const lines = {
    init: () => initLines(node, paths),
    joinControlPlane: () => controlPlaneLines(node),
    joinWorker: () => joinLines(node),
  };
  const minor = group.kubernetesVersion.replace(/^v/, '');
  return `
readonly minor=${shellText(minor)}
readonly config=${shellText(paths.config)}

step 'look for kubeadm'
command -v kubeadm >/dev/null || fail 'this image has no kubeadm; choose one for Kubernetes' "$minor"
version=$(kubeadm version -o short)
case "$version" in
  "v$minor".*) ;;
  *) fail "this image has kubeadm $version and the cluster wants $minor" ;;
esac
${containerdSetup(node.definition).script}
systemctl enable --quiet --now containerd || true # an image may bring another runtime
${lines[step]()}
step 'clean up'
rm -f "$config"`;
}

/** What the image brought is what runs: the machine may have no way to a registry, and EKS Distro names its own. */
const CHOOSE_VERSION = `
step 'choose the version'
images=$(ctr --namespace k8s.io images list -q 2>/dev/null | grep -v @ || true)
api_server=$(grep -m1 "/kube-apiserver:v$minor\\." <<<"$images" || true)
[ -z "$api_server" ] || version=\${api_server##*:}`;

const CHOOSE_IMAGES = `
{
  echo "kubernetesVersion: $version"
  if [ -n "$api_server" ]; then
    echo "imageRepository: \${api_server%/*}"
    etcd=$(grep -m1 '/etcd:' <<<"$images" || true)
    [ -z "$etcd" ] || printf 'etcd:\\n  local:\\n    imageRepository: %s\\n    imageTag: %s\\n' "\${etcd%/*}" "\${etcd##*:}"
    dns=$(grep -m1 '/coredns:' <<<"$images" || true)
    [ -z "$dns" ] || printf 'dns:\\n  imageRepository: %s\\n  imageTag: %s\\n' "\${dns%/*}" "\${dns##*:}"
  fi
} >"$scratch/images.yaml"
sed -i -e "/^kubernetesVersion: ${VERSION_PLACEHOLDER}$/{r $scratch/images.yaml" -e 'd}' "$config"`;

function initLines(node: NodeBootstrap, { kubernetes, kubeVip }: ScriptPaths): string {
  const usesSuperAdmin = kubeVipKubeconfig(node, kubernetes).endsWith('super-admin.conf');
  const skipsKubeVip = node.definition.cluster.controlPlane.skipLoadBalancerDeployment;
  // admin.conf may do what kube-vip needs by now, and super-admin.conf can be put away.
  const switchBack = `
step 'give kube-vip the ordinary administrator'
sed -i 's#path: ${kubernetes}/super-admin.conf#path: ${kubernetes}/admin.conf#' ${shellText(kubeVip)}`;
  return `${CHOOSE_VERSION}
${CHOOSE_IMAGES}

step 'kubeadm init'
kubeadm init --config "$config" --skip-token-print
${usesSuperAdmin && !skipsKubeVip ? switchBack : ''}
${waitForEndpoint(node)}`;
}

/**
 * A control plane is upgraded by nodes of the next version that join it. kubeadm takes the version of what it starts from the
 * cluster's own configuration and refuses a kubelet that is newer, so the first such node raises it there, as an administrator
 * by the authority that it was given. It is never lowered. An image without kubectl leaves it to kubeadm to complain.
 */
function raiseVersionLines(node: NodeBootstrap): string {
  return `
if command -v kubectl >/dev/null; then
step 'look at the version of the cluster'
cat >"$scratch/cluster.yaml" <<'END'
${identityConfiguration(node).trimEnd()}
END
kubeadm kubeconfig user --config "$scratch/cluster.yaml" --client-name tinsmith-bootstrap --org system:masters >"$scratch/admin.conf" 2>"$scratch/log" \\
  || { cat "$scratch/log" >&2; fail 'kubeadm kubeconfig'; }
kube() { kubectl --kubeconfig "$scratch/admin.conf" --namespace kube-system "$@"; }
known=$(kube get configmap kubeadm-config -o 'jsonpath={.data.ClusterConfiguration}')
was=$(sed -n 's/^kubernetesVersion: *//p' <<<"$known")
[ -n "$was" ] || fail 'the configuration of the cluster names no version'
if [ "$was" != "$version" ] && [ "$(printf '%s\\n' "$was" "$version" | sort -V | tail -n 1)" = "$version" ]; then
  step "raise the version of the cluster from $was to $version"
  raised=$(sed "s/^kubernetesVersion: .*/kubernetesVersion: $version/" <<<"$known")
  kube create configmap kubeadm-config --from-literal "ClusterConfiguration=$raised" --dry-run=client -o yaml | kube replace -f -
fi
fi
`;
}

function controlPlaneLines(node: NodeBootstrap): string {
  return `${CHOOSE_VERSION}
${waitForEndpoint(node)}
${raiseVersionLines(node)}

step 'kubeadm join'
kubeadm join --config "$config"
`;
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
