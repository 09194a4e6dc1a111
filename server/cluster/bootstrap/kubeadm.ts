import { adminKubeconfig } from './admin-kubeconfig.ts';
import { keyPairEntries, keyPairOf, secretOf } from './bootstrap-secrets.ts';
import type { Bootstrapper } from './bootstrapper.ts';
import { kubeadmBottlerocket } from './bottlerocket-settings.ts';
import { apiUrl } from './cluster-endpoint.ts';
import { makeAuthority, makeServiceAccountKeys } from './cluster-pki.ts';
import { kubeadmCloudConfig } from './kubeadm-cloud-config.ts';
import { isAtLeast, parseKubernetesVersion } from './kubernetes-version.ts';
import { osFamilyOf } from './os-family.ts';

/** kubeadm gives administrators this group from here on; it can be taken away again, unlike `system:masters`. */
const CLUSTER_ADMINS_MINOR = 29;

/** Kubernetes as upstream makes it: `kubeadm init` on the first control-plane node, `kubeadm join` on all others. */
export const kubeadm: Bootstrapper = {
  name: 'kubeadm',
  summary: 'Kubernetes by kubeadm, which the image holds; the default.',
  async makeSecrets(_definition, at) {
    const [ca, etcd, frontProxy, serviceAccount] = await Promise.all([
      makeAuthority('kubernetes', at),
      makeAuthority('etcd-ca', at),
      makeAuthority('front-proxy-ca', at),
      makeServiceAccountKeys(),
    ]);
    return {
      ...keyPairEntries('ca', ca),
      ...keyPairEntries('etcd/ca', etcd),
      ...keyPairEntries('front-proxy-ca', frontProxy),
      'sa.pub': serviceAccount.publicKey,
      'sa.key': serviceAccount.privateKey,
    };
  },
  userData(node) {
    if (osFamilyOf(node.group.machineConfig) === 'bottlerocket') {
      return { text: kubeadmBottlerocket(node), holdsKeys: true, readyBy: 'installed' };
    }
    return { text: kubeadmCloudConfig(node), holdsKeys: true, readyBy: 'phoneHome' };
  },
  kubeconfig({ cluster }, secrets, at) {
    const hasClusterAdmins = isAtLeast(parseKubernetesVersion(cluster.kubernetesVersion), CLUSTER_ADMINS_MINOR);
    return adminKubeconfig({
      cluster: cluster.name,
      server: apiUrl(cluster),
      serverAuthority: secretOf(secrets, 'ca.crt'),
      clientAuthority: keyPairOf(secrets, 'ca'),
      identity: {
        commonName: 'kubernetes-admin',
        organizations: [hasClusterAdmins ? 'kubeadm:cluster-admins' : 'system:masters'],
      },
      at,
    });
  },
  access: ({ cluster }, secrets) => ({
    url: apiUrl(cluster),
    serverAuthority: secretOf(secrets, 'ca.crt'),
    clientAuthority: keyPairOf(secrets, 'ca'),
    etcd: keyPairOf(secrets, 'etcd/ca'),
    joinsByToken: true,
  }),
};
