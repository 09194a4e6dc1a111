import type { ClusterManifest } from '../../manifests/cluster-kind.ts';
import type { NodeBootstrap } from './bootstrapper.ts';
import { API_PORT, endpointPrefixLength } from './cluster-endpoint.ts';
import { supportedVersion } from './kubeadm-config.ts';
import { isAtLeast } from './kubernetes-version.ts';
import { yamlText } from './yaml-text.ts';

/** It knows `vip_cidr`, which 0.9 renamed. */
export const KUBE_VIP_IMAGE = 'ghcr.io/kube-vip/kube-vip:v0.8.9';

/** Where kube-vip looks for its kubeconfig, inside of its container. */
const KUBECONFIG_INSIDE = '/etc/kubernetes/admin.conf';

/** From here on admin.conf may do nothing until kubeadm has made its role binding; super-admin.conf may. */
const SUPER_ADMIN_MINOR = 29;

/**
 * The static pod that holds the control plane's endpoint by ARP, or undefined where the operator brings the address. No
 * interface is named: it takes that of the default route. `kubeconfig`: path on the node.
 */
export function kubeVipPod(cluster: ClusterManifest, kubeconfig: string): string | undefined {
  if (cluster.controlPlane.skipLoadBalancerDeployment) return undefined;
  const environment: Readonly<Record<string, string>> = {
    vip_arp: 'true',
    port: String(API_PORT),
    vip_cidr: String(endpointPrefixLength(cluster)),
    address: cluster.controlPlane.endpointHost,
    cp_enable: 'true',
    cp_namespace: 'kube-system',
    vip_ddns: 'false',
    vip_leaderelection: 'true',
    vip_leaseduration: '15',
    vip_renewdeadline: '10',
    vip_retryperiod: '2',
    // Without workers there is nobody else to serve addresses of Services.
    ...(cluster.workerGroups.length === 0 ? { svc_enable: 'true', svc_election: 'true' } : {}),
  };
  return yamlText({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'kube-vip', namespace: 'kube-system' },
    spec: {
      hostNetwork: true,
      // The API server beside it: the endpoint's address is what it is about to set up.
      hostAliases: [{ hostnames: ['kubernetes'], ip: '127.0.0.1' }],
      containers: [
        {
          name: 'kube-vip',
          image: KUBE_VIP_IMAGE,
          imagePullPolicy: 'IfNotPresent',
          args: ['manager'],
          env: Object.entries(environment).map(([name, value]) => ({ name, value })),
          securityContext: { capabilities: { add: ['NET_ADMIN', 'NET_RAW'] } },
          volumeMounts: [{ name: 'kubeconfig', mountPath: KUBECONFIG_INSIDE, readOnly: true }],
        },
      ],
      // `File`: kubelet waits for kubeadm to write it; otherwise it would make a folder of that name.
      volumes: [{ name: 'kubeconfig', hostPath: { path: kubeconfig, type: 'File' } }],
    },
  });
}

/** The kubeconfig of the first kube-vip of a cluster, below `folder`; all others use admin.conf. */
export function kubeVipKubeconfig({ group, step }: NodeBootstrap, folder: string): string {
  const needsMore = step === 'init' && isAtLeast(supportedVersion(group.kubernetesVersion), SUPER_ADMIN_MINOR);
  return `${folder}/${needsMore ? 'super-admin.conf' : 'admin.conf'}`;
}
