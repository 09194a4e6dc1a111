import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { kindsOf, type ReadCloudConfig, readCloudConfig } from '#test/support/cloud-config-reader.ts';
import { type ExampleChanges, exampleDefinition, exampleNode } from '#test/support/example-node.ts';
import { readToml } from '#test/support/toml-reader.ts';
import type { Bootstrapper, BootstrapStep, ClusterSecrets } from './bootstrapper.ts';
import { kubeadm } from './kubeadm.ts';
import { none } from './none.ts';

/** Settings as Bottlerocket would read them; any shape is looked into by the tests. */
type Settings = ReturnType<typeof parse>;

let secrets: ClusterSecrets = {};

before(async () => {
  secrets = await kubeadm.makeSecrets(exampleDefinition(), new Date('2026-11-26T12:00:00Z'));
});

function userData(step: BootstrapStep, changes: ExampleChanges = {}, bootstrapper: Bootstrapper = kubeadm): string {
  const machineConfig = { osFamily: 'bottlerocket', ...changes.machineConfig } as const;
  const data = bootstrapper.userData(exampleNode(step, secrets, { ...changes, machineConfig }));
  assert.ok(data !== undefined);
  return data.text;
}

function settingsOf(step: BootstrapStep, changes: ExampleChanges = {}, bootstrapper: Bootstrapper = kubeadm): Settings {
  const read = readToml(userData(step, changes, bootstrapper)) as { settings: Settings }; // TOML documents are tables
  return read.settings;
}

function decoded(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}

function bootstrapContainer(step: BootstrapStep, changes: ExampleChanges = {}): ReadCloudConfig {
  return readCloudConfig(decoded(settingsOf(step, changes)['host-containers']['kubeadm-bootstrap']['user-data']));
}

function sourceOf(changes: ExampleChanges): string {
  return settingsOf('init', changes)['host-containers']['kubeadm-bootstrap'].source;
}

describe('Bottlerocket’s user data', () => {
  it('is fetched during the installation and makes the node ready by its end', () => {
    for (const step of ['init', 'joinControlPlane', 'joinWorker'] as const) {
      const node = exampleNode(step, secrets, { machineConfig: { osFamily: 'bottlerocket' } });
      const { holdsKeys, readyBy } = kubeadm.userData(node) ?? {};
      assert.deepEqual([holdsKeys, readyBy], [true, 'installed']);
    }
  });

  it('is what a machine config without a family gets', () => {
    const { osFamily, ...rest } = exampleNode('joinWorker', secrets).group.machineConfig;
    const node = exampleNode('joinWorker', secrets);

    const data = kubeadm.userData({ ...node, group: { ...node.group, machineConfig: rest } });

    assert.equal(osFamily, 'ubuntu');
    assert.match(data?.text ?? '', /^\[settings\.network\]/);
  });

  it('lets workers join by Bottlerocket itself, with the token and the authority’s certificate', () => {
    const taints = [
      { key: 'gpu', value: 'yes', effect: 'NoSchedule' },
      { key: 'gpu', effect: 'NoExecute' },
    ] as const;
    const {
      kubernetes,
      'host-containers': containers,
      network,
    } = settingsOf('joinWorker', {
      workers: { labels: { 'example.com/rack': 'r1' }, taints },
    });

    assert.deepEqual(kubernetes, {
      'cluster-name': 'mgmt',
      'api-server': 'https://10.0.0.10:6443',
      'cluster-certificate': Buffer.from(secrets['ca.crt'] ?? '').toString('base64'),
      'cluster-dns-ip': '10.96.0.10',
      'bootstrap-token': 'abcdef.0123456789abcdef',
      'standalone-mode': false,
      'cluster-domain': 'cluster.local',
      'authentication-mode': 'tls',
      'server-tls-bootstrap': false,
      'provider-id': 'tinkerbell://eksa-system/worker-1',
      'node-labels': { 'example.com/rack': 'r1' },
      'node-taints': { gpu: ['yes:NoSchedule', ':NoExecute'] },
    });
    assert.deepEqual(Object.keys(containers), ['admin', 'control']);
    assert.equal(network.hostname, 'worker-1');
  });

  it('never gives a key to a worker', () => {
    const text = userData('joinWorker');

    const plain = text.replaceAll(/"([A-Za-z0-9+/=]{40,})"/g, (_match, base64: string) => decoded(base64));
    assert.match(plain, /BEGIN CERTIFICATE/);
    assert.doesNotMatch(plain, /PRIVATE KEY/);
  });

  it('starts control-plane nodes alone and gives the bootstrap container keys, manifests and configuration', () => {
    const { document, files } = bootstrapContainer('init');
    const { ClusterConfiguration: cluster } = kindsOf(files.get('/tmp/kubeadm.yaml')?.content ?? '');

    assert.equal(settingsOf('init').kubernetes['standalone-mode'], true);
    assert.equal(document.runcmd, 'ControlPlaneInit');
    for (const [name, value] of Object.entries(secrets)) {
      assert.equal(files.get(`/var/lib/kubeadm/pki/${name}`)?.content, value);
    }
    assert.equal(cluster.certificatesDir, '/var/lib/kubeadm/pki');
    assert.equal(cluster.kubernetesVersion, 'v1.31.0');
    assert.equal(cluster.scheduler.extraVolumes[0].hostPath, '/var/lib/kubeadm/scheduler.conf');
    assert.equal(cluster.controllerManager.extraVolumes[0].hostPath, '/var/lib/kubeadm/controller-manager.conf');
    assert.equal(cluster.apiServer.extraVolumes[0].hostPath, '/var/lib/kubeadm/audit-policy.yaml');
    assert.ok(files.has('/var/lib/kubeadm/audit-policy.yaml'));
    const pod = parse(files.get('/etc/kubernetes/manifests/kube-vip.yaml')?.content ?? '');
    assert.equal(pod.spec.volumes[0].hostPath.path, '/var/lib/kubeadm/super-admin.conf');
  });

  it('lets further control-plane nodes join with the same keys', () => {
    const { document, files } = bootstrapContainer('joinControlPlane');
    const { JoinConfiguration: join } = kindsOf(files.get('/tmp/kubeadm-join-config.yaml')?.content ?? '');

    assert.equal(document.runcmd, 'ControlPlaneJoin');
    assert.equal(join.caCertPath, '/var/lib/kubeadm/pki/ca.crt');
    assert.equal(files.get('/var/lib/kubeadm/pki/ca.key')?.content, secrets['ca.key']);
    assert.equal(files.has('/tmp/kubeadm.yaml'), false);
  });

  it('takes the bootstrap container that the cluster names', () => {
    assert.equal(sourceOf({ cluster: { bottlerocketBootstrapImage: 'mirror/boot:v1' } }), 'mirror/boot:v1');
    assert.match(sourceOf({ cluster: { kubernetesVersion: '1.28' } }), /\/bottlerocket-bootstrap:v1-28-/);
  });

  it('opens the admin container to every key, once', () => {
    const users = [
      { name: 'a', sshAuthorizedKeys: ['ssh-rsa 1', 'ssh-rsa 2'] },
      { name: 'b', sshAuthorizedKeys: ['ssh-rsa 2'] },
    ];
    const { admin } = settingsOf('joinWorker', { machineConfig: { users } })['host-containers'];

    assert.deepEqual(JSON.parse(decoded(admin['user-data'])), {
      ssh: { 'authorized-keys': ['ssh-rsa 1', 'ssh-rsa 2'] },
    });
    assert.deepEqual([admin.enabled, admin.superpowered], [true, true]);
  });

  it('carries time servers, authorities, proxy and mirrors', () => {
    const settings = settingsOf('init', {
      machineConfig: { ntpServers: ['10.0.0.1'], certBundles: [{ name: 'corp', data: 'PEM' }] },
      cluster: {
        proxy: { http: 'http://p:1', https: 'http://p:2', except: ['.corp'] },
        registryMirror: {
          endpoint: 'm',
          port: '443',
          ociNamespaces: [{ registry: 'public.ecr.aws', namespace: 'x' }],
          caCertContent: 'CA',
          insecureSkipVerify: false,
        },
      },
    });

    assert.deepEqual(settings.ntp, { 'time-servers': ['10.0.0.1'] });
    assert.equal(settings.network['https-proxy'], 'http://p:2');
    assert.equal(settings.network['no-proxy'][0], '.corp');
    assert.deepEqual(settings.pki, {
      corp: { data: 'UEVN', trusted: true },
      'registry-mirror-ca': { data: 'Q0E=', trusted: true },
    });
    assert.deepEqual(settings['container-registry'].mirrors, [
      { registry: 'public.ecr.aws', endpoint: ['https://m:443/v2/x'] },
    ]);
  });

  it('mirrors every registry where no namespaces are given, and never without verification', () => {
    const registryMirror = { endpoint: 'm', port: '443', ociNamespaces: [], insecureSkipVerify: false };

    assert.deepEqual(settingsOf('joinWorker', { cluster: { registryMirror } })['container-registry'].mirrors, [
      { registry: '*', endpoint: ['https://m:443'] },
    ]);
    assert.throws(
      () => userData('joinWorker', { cluster: { registryMirror: { ...registryMirror, insecureSkipVerify: true } } }),
      { code: 'unsupported', message: /insecureSkipVerify/ },
    );
  });

  it('translates kubelet’s and EKS Anywhere’s names into Bottlerocket’s', () => {
    const bottlerocketConfiguration = {
      kubernetes: { maxPods: 50, allowedUnsafeSysctls: ['net.core.*'], clusterDNSIPs: ['10.0.0.53'] },
      kernel: { sysctlSettings: { 'net.core.rmem_max': '8388608' } },
      boot: { bootKernelParameters: { slub_debug: ['options,slabs'] } },
    };
    const settings = settingsOf('joinWorker', {
      machineConfig: { bottlerocketConfiguration },
      workers: {
        kubeletConfiguration: { kind: 'KubeletConfiguration', maxPods: 20, evictionHard: { 'memory.available': '5%' } },
      },
    });

    assert.equal(settings.kubernetes['max-pods'], 50, 'the machine config is nearer than the group');
    assert.deepEqual(settings.kubernetes['allowed-unsafe-sysctls'], ['net.core.*']);
    assert.deepEqual(settings.kubernetes['cluster-dns-ip'], ['10.0.0.53']);
    assert.deepEqual(settings.kubernetes['eviction-hard'], { 'memory.available': '5%' });
    assert.deepEqual(settings.kernel, { sysctl: { 'net.core.rmem_max': '8388608' } });
    assert.deepEqual(settings.boot, {
      'reboot-to-reconcile': true,
      'kernel-parameters': { slub_debug: ['options,slabs'] },
    });
  });

  it('refuses a kubelet setting that Bottlerocket does not have, with the nearest', () => {
    assert.throws(() => userData('joinWorker', { workers: { kubeletConfiguration: { maxPod: 5 } } }), {
      code: 'invalid_input',
      message: /no setting for maxPod of kubeletConfiguration \(did you mean maxPods\?\)/,
    });
  });

  it('without a bootstrapper gives access and no cluster', () => {
    const settings = settingsOf('joinWorker', {}, none);
    const { 'host-containers': containers, kubernetes, network } = settings;

    assert.deepEqual(kubernetes, {
      'standalone-mode': true,
      'cluster-domain': 'cluster.local',
      'authentication-mode': 'tls',
    });
    assert.deepEqual(Object.keys(containers), ['admin', 'control']);
    assert.equal(network.hostname, 'worker-1');
  });
});
