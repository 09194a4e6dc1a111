import type { ClusterDefinition } from '../../manifests/cluster-kind.ts';
import type { NodeFile } from './cloud-config.ts';
import { nodeProxy, proxyDropIn } from './node-proxy.ts';
import { containerdMirrorFiles } from './registry-mirror.ts';

/** What containerd on the nodes is to know of proxies and mirrors, and the lines of bash that tell it. */
export interface ContainerdSetup {
  readonly files: readonly NodeFile[];
  readonly script: string;
}

/** Images of older image-builders and Debian's own package do not look into certs.d until they are told. */
const READ_CERTS_D = `
settings=/etc/containerd/config.toml
if ! containerd config dump | grep -q 'config_path = .*/etc/containerd/certs\\.d'; then
  if grep -qs '^ *config_path = ""' "$settings"; then
    sed -i 's#^\\( *config_path = \\)""#\\1"/etc/containerd/certs.d"#' "$settings"
  else
    [ -e "$settings" ] || { mkdir -p "\${settings%/*}"; echo 'version = 2' >"$settings"; }
    printf '\\n[plugins."io.containerd.grpc.v1.cri".registry]\\n  config_path = "/etc/containerd/certs.d"\\n' >>"$settings"
  fi
fi`;

export function containerdSetup(definition: ClusterDefinition): ContainerdSetup {
  const proxy = nodeProxy(definition);
  const { registryMirror } = definition.cluster;
  const files = [
    ...(proxy === undefined ? [] : [proxyDropIn('containerd', proxy)]),
    ...(registryMirror === undefined ? [] : containerdMirrorFiles(registryMirror)),
  ];
  if (files.length === 0) return { files, script: '' };
  const script = `
step 'set up containerd'${registryMirror === undefined ? '' : READ_CERTS_D}
systemctl daemon-reload
systemctl restart containerd`;
  return { files, script };
}
