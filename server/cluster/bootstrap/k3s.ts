import { randomBytes } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import { adminKubeconfig } from './admin-kubeconfig.ts';
import { keyPairEntries, keyPairOf, secretOf } from './bootstrap-secrets.ts';
import type { Bootstrapper } from './bootstrapper.ts';
import { apiUrl } from './cluster-endpoint.ts';
import { makeAuthority, makeServiceAccountKeys } from './cluster-pki.ts';
import { k3sCloudConfig } from './k3s-cloud-config.ts';
import { osFamilyOf } from './os-family.ts';

/** Lightweight Kubernetes with embedded etcd: one program, which the image holds or the node fetches. */
export const k3s: Bootstrapper = {
  name: 'k3s',
  summary: 'Kubernetes by k3s with embedded etcd; fetched by the node unless the image holds it.',
  async makeSecrets(_definition, at) {
    const names = {
      'server-ca': 'k3s-server-ca',
      'client-ca': 'k3s-client-ca',
      'request-header-ca': 'k3s-request-header-ca',
    };
    const etcdNames = { 'etcd/server-ca': 'etcd-server-ca', 'etcd/peer-ca': 'etcd-peer-ca' };
    const authorities = await Promise.all(
      Object.entries({ ...names, ...etcdNames }).map(async ([file, name]) =>
        keyPairEntries(file, await makeAuthority(name, at)),
      ),
    );
    const { privateKey } = await makeServiceAccountKeys();
    return {
      ...Object.assign({}, ...authorities),
      'service.key': privateKey,
      'server-token': randomBytes(32).toString('hex'),
      'agent-token': randomBytes(32).toString('hex'),
    };
  },
  userData(node) {
    if (osFamilyOf(node.group.machineConfig) === 'bottlerocket') {
      throw new TinsmithError(
        'unsupported',
        `the group ${node.group.name} is of the family bottlerocket, on which k3s does not run; use the bootstrapper kubeadm`,
      );
    }
    return { text: k3sCloudConfig(node), holdsKeys: true, readyBy: 'phoneHome' };
  },
  kubeconfig({ cluster }, secrets, at) {
    return adminKubeconfig({
      cluster: cluster.name,
      server: apiUrl(cluster),
      serverAuthority: secretOf(secrets, 'server-ca.crt'),
      clientAuthority: keyPairOf(secrets, 'client-ca'),
      identity: { commonName: 'system:admin', organizations: ['system:masters'] },
      at,
    });
  },
  access: ({ cluster }, secrets) => ({
    url: apiUrl(cluster),
    serverAuthority: secretOf(secrets, 'server-ca.crt'),
    clientAuthority: keyPairOf(secrets, 'client-ca'),
    joinsByToken: false,
  }),
};
