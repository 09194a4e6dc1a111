import { createHash } from 'node:crypto';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { NodeGroup } from './node-groups.ts';

/**
 * Names everything that a node of a group is made from: another name means that its nodes are to be replaced. How many there
 * are, on which machines and in which order they are replaced is no part of it.
 */
export function nodeRevision(definition: ClusterDefinition, group: NodeGroup): string {
  const { cluster, datacenter, templates } = definition;
  const { hardwareSelector: _selector, hardwareAffinity: _affinity, name: _name, ...machine } = group.machineConfig;
  const { count: _count, controlPlane, workerGroups: _groups, ...ofCluster } = { count: 0, ...cluster };
  const {
    count: _replicas,
    rollout: _rollout,
    machineConfig: _config,
    healthCheck: _health,
    ...ofControlPlane
  } = controlPlane;
  const template = machine.templateRef === undefined ? undefined : templates[machine.templateRef]?.data;
  const parts = {
    cluster: { ...ofCluster, kubernetesVersion: group.kubernetesVersion },
    // A worker is told where the control plane is; the rest of it does not concern it.
    controlPlane: group.role === 'controlPlane' ? ofControlPlane : { endpointHost: controlPlane.endpointHost },
    imageUrl: machine.osImageURL ?? datacenter.osImageURL,
    machine,
    template,
    labels: group.labels,
    taints: group.taints,
    kubeletConfiguration: group.kubeletConfiguration,
  };
  return createHash('sha256').update(stableText(parts)).digest('hex').slice(0, 12);
}

/** JSON whose keys are in order: the same facts give the same text, however they were written down. */
function stableText(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
