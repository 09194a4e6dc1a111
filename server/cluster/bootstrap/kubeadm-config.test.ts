import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { Ajv, type ValidateFunction } from 'ajv';
import { kindsOf } from '#test/support/cloud-config-reader.ts';
import { type ExampleChanges, exampleDefinition, exampleNode } from '#test/support/example-node.ts';
import type { ClusterSecrets } from './bootstrapper.ts';
import { kubeadm } from './kubeadm.ts';
import { initConfiguration, joinConfiguration, type KubeadmPaths } from './kubeadm-config.ts';

/** Made from kubeadm's Go types, strict about unknown fields: see schema.go beside it. */
const SCHEMA = new URL('../../../test/fixtures/kubeadm/schema.json', import.meta.url);
const ajv = new Ajv({ strict: true, allErrors: true }).addSchema(JSON.parse(readFileSync(SCHEMA, 'utf8')), 'kubeadm');
const VERSIONS = Array.from({ length: 13 }, (_, index) => `1.${22 + index}`);

const PLAIN: KubeadmPaths = { certificates: '/etc/kubernetes/pki', auditPolicy: '/etc/kubernetes/audit-policy.yaml' };
const EVERYTHING: KubeadmPaths = {
  certificates: '/var/lib/kubeadm/pki',
  auditPolicy: '/var/lib/kubeadm/audit-policy.yaml',
  patches: '/etc/kubernetes/patches',
  componentKubeconfigs: '/var/lib/kubeadm',
  criSocket: 'unix:///run/containerd/containerd.sock',
  kubernetesVersion: 'v1.31.0',
};

let secrets: ClusterSecrets = {};

before(async () => {
  secrets = await kubeadm.makeSecrets(exampleDefinition(), new Date());
});

function changesFor(kubernetesVersion: string): ExampleChanges {
  return {
    cluster: { kubernetesVersion },
    controlPlane: {
      labels: { a: 'b' },
      taints: [{ key: 'a', value: 'b', effect: 'NoSchedule' }],
      certSans: ['api.example'],
      apiServerExtraArgs: { 'service-account-issuer': 'https://x' },
    },
    workers: { labels: { a: 'b' }, taints: [{ key: 'a', effect: 'NoExecute' }] },
  };
}

function faultsOf(text: string): readonly string[] {
  return Object.entries(kindsOf(text)).flatMap(([kind, value]) => {
    const version = String(value.apiVersion).replace('kubeadm.k8s.io/', '');
    const validate: ValidateFunction | undefined = ajv.getSchema(`kubeadm#/definitions/${version}.${kind}`);
    assert.ok(validate !== undefined, `kubeadm knows no ${kind} of ${version}`);
    return validate(value) ? [] : [`${kind}: ${ajv.errorsText(validate.errors)}`];
  });
}

describe('kubeadm’s files', () => {
  it('are of the form that kubeadm reads, in every version, role and family', () => {
    for (const version of VERSIONS) {
      for (const [changes, paths] of [
        [{ cluster: { kubernetesVersion: version } }, PLAIN],
        [changesFor(version), EVERYTHING],
      ] as const) {
        const init = initConfiguration(exampleNode('init', secrets, changes), paths);
        const joins = (['joinControlPlane', 'joinWorker'] as const).map((step) =>
          joinConfiguration(exampleNode(step, secrets, changes), `sha256:${'0'.repeat(64)}`, paths),
        );

        assert.deepEqual([init, ...joins].flatMap(faultsOf), [], version);
      }
    }
  });

  it('would not pass with a field that kubeadm does not know, or with the other version’s form', () => {
    const init = initConfiguration(exampleNode('init', secrets), PLAIN);

    assert.match(faultsOf(init.replace('certSANs:', 'certSans:')).join(), /additional properties/);
    assert.match(faultsOf(init.replaceAll('v1beta4', 'v1beta3')).join(), /extraArgs must be object/);
  });
});
