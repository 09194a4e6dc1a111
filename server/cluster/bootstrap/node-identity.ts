import { TinsmithError } from '#proto/errors.ts';
import type { HardwareManifest } from '../../manifests/hardware-kind.ts';

/** Host name of the node and its name in Kubernetes: that of its Hardware, so one name finds it in both. */
export function nodeName({ name }: Pick<HardwareManifest, 'name'>): string {
  return name;
}

/** In EKS Anywhere's form: what reads a node's provider id there reads it here. Kubernetes never lets it change. */
export function providerId({ name }: Pick<HardwareManifest, 'name'>): string {
  return `tinkerbell://eksa-system/${name}`;
}

/** `key=value,…` as kubelet takes them. Throws `invalid_input` for a label that kubelet refuses to start with. */
export function nodeLabelsArgument(labels: Readonly<Record<string, string>>): string {
  const entries = Object.entries(labels);
  for (const [key] of entries) {
    if (!isKubeletLabel(key)) {
      throw new TinsmithError(
        'invalid_input',
        `the node label ${key} cannot be given by the node itself: kubelet refuses labels of kubernetes.io and k8s.io; ` +
          'use another prefix, or label the node after it has joined',
      );
    }
  }
  return entries.map(([key, value]) => `${key}=${value}`).join(',');
}

const WELL_KNOWN = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/arch',
  'kubernetes.io/os',
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/instance-type',
  'node.kubernetes.io/instance-type',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
]);

/** kubelet's own rule (Kubernetes documentation, "NodeRestriction"). */
function isKubeletLabel(key: string): boolean {
  const prefix = key.includes('/') ? key.slice(0, key.indexOf('/')) : '';
  if (!/(^|\.)(kubernetes|k8s)\.io$/.test(prefix) || WELL_KNOWN.has(key)) return true;
  return /(^|\.)(kubelet|node)\.kubernetes\.io$/.test(prefix);
}
