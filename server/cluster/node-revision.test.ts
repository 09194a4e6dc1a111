import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import { nodeGroups } from './node-groups.ts';
import { nodeRevision } from './node-revision.ts';

const before = clusterDefinition({ controlPlane: 1, workers: { 'md-0': 1 } });

/** Which groups are to be made anew for another definition. */
function renewed(after: ClusterDefinition): readonly string[] {
  const groups = nodeGroups(before);
  return nodeGroups(after)
    .filter((group, index) => {
      const former = groups[index];
      return former === undefined || nodeRevision(before, former) !== nodeRevision(after, group);
    })
    .map(({ name }) => name);
}

function withCluster(change: Partial<ClusterDefinition['cluster']>): ClusterDefinition {
  return { ...before, cluster: { ...before.cluster, ...change } };
}

describe('the revision of a group', () => {
  it('is another one when something that its nodes are made from is', () => {
    const all = ['control-plane', 'md-0'];
    assert.deepEqual(renewed(clusterDefinition({ version: '1.31' })), all);
    assert.deepEqual(renewed({ ...before, datacenter: { ...before.datacenter, osImageURL: 'http://x/os.raw' } }), all);
    assert.deepEqual(renewed(withCluster({ podCidr: '10.0.0.0/8' })), all);
    const { controlPlane, workerGroups } = before.cluster;
    assert.deepEqual(renewed(withCluster({ controlPlane: { ...controlPlane, labels: { zone: 'a' } } })), [
      'control-plane',
    ]);
    assert.deepEqual(renewed(withCluster({ controlPlane: { ...controlPlane, certSans: ['api.example'] } })), [
      'control-plane',
    ]);
    const labelled = workerGroups.map((group) => ({ ...group, labels: { zone: 'a' } }));
    assert.deepEqual(renewed(withCluster({ workerGroups: labelled })), ['md-0']);
    const newer = workerGroups.map((group) => ({ ...group, kubernetesVersion: '1.29' }));
    assert.deepEqual(renewed(withCluster({ workerGroups: newer })), ['md-0']);
  });

  it('is another one when the user, the key or the template of its machines is', () => {
    const { dp, cp } = before.machineConfigs;
    assert.ok(dp && cp);
    const keyed = { ...dp, users: [{ name: 'ec2-user', sshAuthorizedKeys: ['ssh-ed25519 AAAA other'] }] };
    assert.deepEqual(renewed({ ...before, machineConfigs: { cp, dp: keyed } }), ['md-0']);
    const referring = { ...dp, templateRef: 't' };
    const template = { name: 't', labels: {}, annotations: {}, data: 'a: 1', source: 'Template' } as const;
    const first = { ...before, machineConfigs: { cp, dp: referring }, templates: { t: template } };
    const second = { ...first, templates: { t: { ...template, data: 'a: 2' } } };
    const [, group] = nodeGroups(first);
    assert.ok(group);
    assert.notEqual(nodeRevision(first, group), nodeRevision(second, group));
  });

  it('stays when only numbers, machines or the order of replacement change', () => {
    const { dp, cp } = before.machineConfigs;
    assert.ok(dp && cp);
    assert.deepEqual(renewed(clusterDefinition({ controlPlane: 3, workers: { 'md-0': 5 } })), []);
    const rollout = { type: 'InPlace', maxSurge: 0, maxUnavailable: 0 } as const;
    assert.deepEqual(renewed(clusterDefinition({ rollout })), []);
    const other = { ...dp, hardwareSelector: { type: 'big' } };
    assert.deepEqual(renewed({ ...before, machineConfigs: { cp, dp: other } }), []);
  });
});
