import { DEFAULT_AUDIT_POLICY } from './audit-policy.ts';
import { BOOTSTRAP_SCRIPT, bootstrapScript, NODE_FOLDER } from './bootstrap-script.ts';
import { secretOf } from './bootstrap-secrets.ts';
import type { ClusterSecrets, NodeBootstrap } from './bootstrapper.ts';
import { cloudConfig, type NodeFile } from './cloud-config.ts';
import { publicKeyHash } from './cluster-pki.ts';
import { containerdSetup } from './containerd-setup.ts';
import { kubeVipKubeconfig, kubeVipPod } from './kube-vip.ts';
import { initConfiguration, joinConfiguration, kubeletPatch } from './kubeadm-config.ts';
import { kubeadmScript } from './kubeadm-script.ts';

const KUBERNETES = '/etc/kubernetes';
const PATCHES = `${KUBERNETES}/patches`;
const AUDIT_POLICY = `${KUBERNETES}/audit-policy.yaml`;
const KUBE_VIP = `${KUBERNETES}/manifests/kube-vip.yaml`;
const CONFIG = `${NODE_FOLDER}/kubeadm.yaml`;

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
    content: bootstrapScript(
      node.metadataUrl,
      kubeadmScript(node, { config: CONFIG, kubernetes: KUBERNETES, kubeVip: KUBE_VIP }),
    ),
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
