import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { type ReadCloudConfig, readCloudConfig } from '#test/support/cloud-config-reader.ts';
import { type ExampleChanges, exampleDefinition, exampleNode } from '#test/support/example-node.ts';
import { readToml } from '#test/support/toml-reader.ts';
import { clusterDefinitions } from '../../manifests/cluster-definitions.ts';
import type { ClusterDefinition } from '../../manifests/cluster-kind.ts';
import { loadManifests } from '../../manifests/load-manifests.ts';
import { nodeGroups } from '../node-groups.ts';
import type { BootstrapStep, ClusterSecrets } from './bootstrapper.ts';
import { BOOTSTRAPPER_NAMES, bootstrapperFor } from './bootstrappers.ts';
import { k3s } from './k3s.ts';
import { none } from './none.ts';

const AT = new Date('2026-11-26T12:00:00Z');
const CONFIG = '/etc/rancher/k3s/config.yaml';
const TLS = '/var/lib/rancher/k3s/server/tls';
const KUBE_VIP = '/var/lib/rancher/k3s/agent/pod-manifests/kube-vip.yaml';

function k3sNode(step: BootstrapStep, secrets: ClusterSecrets, changes: ExampleChanges = {}): ReadCloudConfig {
  return readCloudConfig(k3s.userData(exampleNode(step, secrets, changes))?.text ?? '');
}

describe('a cluster’s bootstrapper', () => {
  it('is kubeadm, unless the cluster names another', () => {
    assert.equal(bootstrapperFor(exampleDefinition()).name, 'kubeadm');
    for (const bootstrapper of BOOTSTRAPPER_NAMES) {
      assert.equal(bootstrapperFor(exampleDefinition({ cluster: { bootstrapper } })).name, bootstrapper);
    }
  });

  it('is refused when there is none of that name, with the nearest and all', () => {
    assert.throws(() => bootstrapperFor(exampleDefinition({ cluster: { bootstrapper: 'kubeadmn' } })), {
      code: 'invalid_input',
      message: /names the bootstrapper kubeadmn, .*did you mean kubeadm\?.*one of kubeadm, k3s, none/,
    });
  });
});

function definitionOf(yaml: string): ClusterDefinition {
  const { definitions, problems } = clusterDefinitions(loadManifests([{ name: 'cluster.yaml', text: yaml }]), {
    templates: [],
  });
  assert.deepEqual(problems, []);
  const [definition] = definitions;
  assert.ok(definition !== undefined);
  return definition.value;
}

describe('the published EKS Anywhere example', () => {
  const text = readFileSync(new URL('../../../test/fixtures/eksa-example/cluster.yaml', import.meta.url), 'utf8');

  it('becomes the user data of a control-plane node and of a worker', async () => {
    const definition = definitionOf(text);
    const bootstrapper = bootstrapperFor(definition);
    const secrets = await bootstrapper.makeSecrets(definition, AT);
    const settings = nodeGroups(definition).map((group) => {
      const step = group.role === 'worker' ? 'joinWorker' : 'init';
      const data = bootstrapper.userData({ ...exampleNode(step, secrets), definition, group });
      return readToml(data?.text ?? '') as { settings: ReturnType<typeof parse> }; // TOML documents are tables
    });

    assert.deepEqual(
      settings.map((read) => read.settings.kubernetes['standalone-mode']),
      [true, false],
    );
    assert.equal(settings[1]?.settings.kubernetes['api-server'], 'https://192.168.10.41:6443');
  });

  it('takes the names of bootstrapper and bootstrap image from annotations', () => {
    const annotations = `kind: Cluster
metadata:
  annotations:
    tinsmith.dev/bootstrapper: none
    tinsmith.dev/bottlerocket-bootstrap-image: registry.example/boot:1`;

    const { cluster } = definitionOf(text.replace(/kind: Cluster\nmetadata:/, annotations));

    assert.deepEqual([cluster.bootstrapper, cluster.bottlerocketBootstrapImage], ['none', 'registry.example/boot:1']);
  });
});

describe('no bootstrapper', () => {
  it('makes users and the name, calls home by cloud-init itself, and holds no keys', async () => {
    const node = exampleNode('init', await none.makeSecrets(exampleDefinition(), AT));
    const data = none.userData(node);
    const { document } = readCloudConfig(data?.text ?? '');

    assert.deepEqual([data?.holdsKeys, data?.readyBy], [false, 'phoneHome']);
    assert.deepEqual(Object.keys(document), ['hostname', 'preserve_hostname', 'users', 'phone_home']);
    assert.deepEqual(document.phone_home, {
      url: 'http://10.0.0.1:7172/phone-home',
      post: ['instance_id', 'hostname'],
      tries: 10,
    });
    assert.equal(await none.kubeconfig(exampleDefinition(), {}, AT), undefined);
  });
});

describe('k3s’ user data', () => {
  it('gives authorities to the first server, the secret to servers and neither to agents', async () => {
    const secrets = await k3s.makeSecrets(exampleDefinition(), AT);
    const init = k3sNode('init', secrets);
    const server = k3sNode('joinControlPlane', secrets);
    const agent = k3sNode('joinWorker', secrets);

    for (const name of ['server-ca', 'client-ca', 'request-header-ca', 'etcd/server-ca', 'etcd/peer-ca']) {
      assert.equal(init.files.get(`${TLS}/${name}.key`)?.permissions, '0600');
      assert.ok(new X509Certificate(init.files.get(`${TLS}/${name}.crt`)?.content ?? '').ca);
    }
    assert.ok(init.files.has(`${TLS}/service.key`));
    for (const { files } of [server, agent])
      assert.deepEqual(
        [...files.keys()].filter((path) => path.startsWith(TLS)),
        [],
      );
    const text = JSON.stringify([...agent.files.values()]);
    assert.doesNotMatch(text, /PRIVATE KEY/);
    assert.ok(!text.includes(secrets['server-token'] ?? '?'), 'the secret of servers encrypts the authorities');
  });

  it('starts a cluster, lets servers join it and agents with a token of their own', async () => {
    const secrets = await k3s.makeSecrets(exampleDefinition(), AT);
    const [init, server, agent] = (['init', 'joinControlPlane', 'joinWorker'] as const).map((step) => {
      const file = k3sNode(step, secrets).files.get(CONFIG);
      assert.equal(file?.permissions, '0600');
      return parse(file.content);
    });

    const pin = `K10${createHash('sha256')
      .update(secrets['server-ca.crt'] ?? '')
      .digest('hex')}`;
    assert.deepEqual([init['cluster-init'], init.server, init.token], [true, undefined, secrets['server-token']]);
    assert.equal(server.server, 'https://10.0.0.10:6443');
    assert.equal(server.token, `${pin}::server:${secrets['server-token']}`);
    assert.equal(server['agent-token'], secrets['agent-token']);
    assert.deepEqual(init['tls-san'], ['10.0.0.10']);
    assert.deepEqual([init['cluster-cidr'], init['service-cidr']], ['192.168.0.0/16', '10.96.0.0/12']);
    assert.deepEqual(agent, {
      server: 'https://10.0.0.10:6443',
      token: `${pin}::node:${secrets['agent-token']}`,
      'node-name': 'worker-1',
      'kubelet-arg': ['provider-id=tinkerbell://eksa-system/worker-1'],
    });
  });

  it('holds the endpoint by kube-vip with k3s’ own kubeconfig', async () => {
    const secrets = await k3s.makeSecrets(exampleDefinition(), AT);

    const pod = parse(k3sNode('init', secrets).files.get(KUBE_VIP)?.content ?? '');

    assert.equal(pod.spec.volumes[0].hostPath.path, '/etc/rancher/k3s/k3s.yaml');
    assert.equal(k3sNode('joinWorker', secrets).files.has(KUBE_VIP), false);
    const skips = { controlPlane: { skipLoadBalancerDeployment: true } };
    assert.equal(k3sNode('init', secrets, skips).files.has(KUBE_VIP), false);
  });

  it('labels, taints, mirrors and goes through proxies as the file says', async () => {
    const secrets = await k3s.makeSecrets(exampleDefinition(), AT);
    const { files } = k3sNode('joinWorker', secrets, {
      workers: { labels: { a: 'b', c: 'd' }, taints: [{ key: 'gpu', effect: 'NoSchedule' }] },
      cluster: {
        proxy: { http: 'http://p', https: 'http://p', except: [] },
        registryMirror: {
          endpoint: 'm',
          port: '5000',
          ociNamespaces: [],
          caCertContent: 'CA',
          insecureSkipVerify: true,
        },
      },
    });

    const config = parse(files.get(CONFIG)?.content ?? '');
    assert.deepEqual([config['node-label'], config['node-taint']], [['a=b', 'c=d'], ['gpu=:NoSchedule']]);
    assert.deepEqual(parse(files.get('/etc/rancher/k3s/registries.yaml')?.content ?? ''), {
      mirrors: { '*': { endpoint: ['https://m:5000'] } },
      configs: { 'm:5000': { tls: { ca_file: '/etc/rancher/k3s/mirror-ca.crt', insecure_skip_verify: true } } },
    });
    assert.equal(files.get('/etc/rancher/k3s/mirror-ca.crt')?.content, 'CA');
    assert.ok(files.has('/etc/systemd/system/k3s-agent.service.d/http-proxy.conf'));
  });

  it('leaves Services to kube-vip where there are no workers', async () => {
    const secrets = await k3s.makeSecrets(exampleDefinition(), AT);
    const disabled = (changes: ExampleChanges): unknown =>
      parse(k3sNode('init', secrets, changes).files.get(CONFIG)?.content ?? '').disable;

    assert.deepEqual(disabled({ cluster: { workerGroups: [] } }), ['servicelb']);
    assert.equal(disabled({}), undefined);
  });

  it('does not exist for Bottlerocket', async () => {
    const secrets = await k3s.makeSecrets(exampleDefinition(), AT);

    assert.throws(() => k3sNode('init', secrets, { machineConfig: { osFamily: 'bottlerocket' } }), {
      code: 'unsupported',
      message: /control-plane is of the family bottlerocket/,
    });
  });

  it('has a kubeconfig whose client is issued by the authority for clients', async () => {
    const definition = exampleDefinition();
    const secrets = await k3s.makeSecrets(definition, AT);

    const config = parse((await k3s.kubeconfig(definition, secrets, AT)) ?? '');

    const pem = Buffer.from(config.users[0].user['client-certificate-data'], 'base64');
    const authority = new X509Certificate(secrets['client-ca.crt'] ?? '');
    assert.ok(new X509Certificate(pem).verify(authority.publicKey));
    const serverAuthority = Buffer.from(config.clusters[0].cluster['certificate-authority-data'], 'base64').toString();
    assert.equal(serverAuthority, secrets['server-ca.crt']);
  });
});
