import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { kindsOf, type ReadCloudConfig, readCloudConfig } from '#test/support/cloud-config-reader.ts';
import { type ExampleChanges, exampleDefinition, exampleNode } from '#test/support/example-node.ts';
import type { BootstrapStep, ClusterSecrets } from './bootstrapper.ts';
import { publicKeyHash } from './cluster-pki.ts';
import { kubeadm } from './kubeadm.ts';

const CONFIG = '/var/lib/tinsmith/kubeadm.yaml';
const SCRIPT = '/var/lib/tinsmith/bootstrap.sh';
const KUBE_VIP = '/etc/kubernetes/manifests/kube-vip.yaml';
const STEPS: readonly BootstrapStep[] = ['init', 'joinControlPlane', 'joinWorker'];

let secrets: ClusterSecrets = {};

before(async () => {
  secrets = await kubeadm.makeSecrets(exampleDefinition(), new Date('2026-11-26T12:00:00Z'));
});

function userData(step: BootstrapStep, changes: ExampleChanges = {}): string {
  const data = kubeadm.userData(exampleNode(step, secrets, changes));
  assert.ok(data !== undefined);
  return data.text;
}

function read(step: BootstrapStep, changes: ExampleChanges = {}): ReadCloudConfig {
  return readCloudConfig(userData(step, changes));
}

function content(step: BootstrapStep, path: string, changes: ExampleChanges = {}): string {
  const file = read(step, changes).files.get(path);
  assert.ok(file !== undefined, `${path} is not written`);
  return file.content;
}

function kubeadmFile(step: BootstrapStep, changes: ExampleChanges = {}): ReturnType<typeof kindsOf> {
  return kindsOf(content(step, CONFIG, changes));
}

function pod(step: BootstrapStep, changes: ExampleChanges = {}): ReturnType<typeof parse> {
  return parse(content(step, KUBE_VIP, changes));
}

function environment(changes: ExampleChanges): Readonly<Record<string, string>> {
  const { env } = pod('init', changes).spec.containers[0];
  return Object.fromEntries(env.map(({ name, value }: { name: string; value: string }) => [name, value]));
}

function errorsOf(step: BootstrapStep, changes?: ExampleChanges): unknown {
  return kubeadmFile(step, changes)['JoinConfiguration'].nodeRegistration.ignorePreflightErrors;
}

function taintsOf(changes: ExampleChanges): unknown {
  return kubeadmFile('init', changes)['InitConfiguration'].nodeRegistration.taints;
}

function kubeconfigPathOf(step: BootstrapStep, kubernetesVersion: string): string {
  return pod(step, { cluster: { kubernetesVersion } }).spec.volumes[0].hostPath.path;
}

function labelled(key: string): string {
  return userData('joinWorker', { workers: { labels: { [key]: 'x' } } });
}

describe('kubeadm’s user data for cloud-init', () => {
  it('holds keys in every role and makes the node ready by its call home', () => {
    for (const step of STEPS) {
      const data = kubeadm.userData(exampleNode(step, secrets));
      assert.deepEqual([data?.holdsKeys, data?.readyBy], [true, 'phoneHome']);
    }
  });

  it('makes every user with all keys, without a password, and sets the time servers and the name', () => {
    const users = [
      { name: 'ops', sshAuthorizedKeys: ['ssh-ed25519 AAAA1 a: "b" # c', 'ssh-rsa AAAA2'] },
      { name: 'audit', sshAuthorizedKeys: [] },
    ];

    const { document } = read('joinWorker', { machineConfig: { users, ntpServers: ['10.0.0.1', 'ntp.example'] } });

    assert.equal(document.hostname, 'worker-1');
    assert.deepEqual(document.users, [
      {
        name: 'ops',
        shell: '/bin/bash',
        sudo: 'ALL=(ALL) NOPASSWD:ALL',
        lock_passwd: true,
        ssh_authorized_keys: users[0]?.sshAuthorizedKeys,
      },
      { name: 'audit', shell: '/bin/bash', sudo: 'ALL=(ALL) NOPASSWD:ALL', lock_passwd: true },
    ]);
    assert.deepEqual(document.ntp, { enabled: true, servers: ['10.0.0.1', 'ntp.example'] });
    assert.deepEqual(document.runcmd, [['/bin/bash', SCRIPT]]);
  });

  it('gives the control plane its keys, for root alone, and workers none of them', () => {
    for (const step of STEPS) {
      const { files } = read(step);
      for (const [name, value] of Object.entries(secrets)) {
        const file = files.get(`/etc/kubernetes/pki/${name}`);
        if (step === 'joinWorker') assert.equal(file, undefined, name);
        else assert.deepEqual([file?.content, file?.permissions], [value, name.endsWith('.key') ? '0600' : '0644']);
      }
    }
  });

  it('lets no text of a key reach a worker, in whatever form', () => {
    const text = userData('joinWorker');

    const { files, document } = readCloudConfig(text);
    assert.doesNotMatch(text, /PRIVATE KEY/);
    for (const name of Object.keys(secrets).filter((candidate) => candidate.endsWith('.key'))) {
      const body = (secrets[name] ?? '').split('\n')[1] ?? '';
      assert.ok(body.length > 40 && !text.includes(body), name);
    }
    assert.deepEqual([...files.keys()].toSorted(), [SCRIPT, CONFIG]);
    assert.ok(!JSON.stringify(document.runcmd).includes('abcdef'), 'no token among arguments');
  });

  it('keeps tokens in files that only root reads and out of the script', () => {
    for (const step of STEPS) {
      for (const [path, { content: text, permissions }] of read(step).files) {
        if (text.includes('0123456789abcdef')) assert.deepEqual([path, permissions], [CONFIG, '0600']);
      }
    }
  });
});

describe('kubeadm’s configuration', () => {
  it('quotes what readers of YAML 1.1 would take for something else', () => {
    const taints = [{ key: 'on', value: 'yes', effect: 'NoSchedule' }] as const;
    const changes: ExampleChanges = {
      workers: { taints },
      machineConfig: { users: [{ name: 'on', sshAuthorizedKeys: [] }] },
    };

    assert.match(content('joinWorker', CONFIG, changes), /key: "on"\n +value: "yes"\n/);
    assert.match(userData('joinWorker', changes), /- name: "on"\n/);
  });

  it('initialises the cluster that the file describes', () => {
    const { ClusterConfiguration: cluster, InitConfiguration: init } = kubeadmFile('init', {
      controlPlane: {
        certSans: ['api.example', '10.0.0.10'],
        apiServerExtraArgs: { 'service-account-issuer': 'https://x' },
      },
    });

    assert.equal(cluster.clusterName, 'mgmt');
    assert.equal(cluster.controlPlaneEndpoint, '10.0.0.10:6443');
    assert.deepEqual(cluster.networking, {
      podSubnet: '192.168.0.0/16',
      serviceSubnet: '10.96.0.0/12',
      dnsDomain: 'cluster.local',
    });
    assert.deepEqual(cluster.apiServer.certSANs, ['10.0.0.10', 'api.example']);
    assert.deepEqual(cluster.apiServer.extraArgs, [
      { name: 'profiling', value: 'false' },
      { name: 'audit-policy-file', value: '/etc/kubernetes/audit-policy.yaml' },
      { name: 'audit-log-path', value: '/var/log/kubernetes/api-audit.log' },
      { name: 'audit-log-maxage', value: '30' },
      { name: 'audit-log-maxbackup', value: '10' },
      { name: 'audit-log-maxsize', value: '512' },
      { name: 'service-account-issuer', value: 'https://x' },
    ]);
    assert.deepEqual(cluster.controllerManager.extraArgs[0], { name: 'node-cidr-mask-size', value: '24' });
    assert.deepEqual(init.bootstrapTokens, [
      {
        token: 'abcdef.0123456789abcdef',
        description: 'Nodes of this cluster join with it',
        ttl: '24h0m0s',
        usages: ['signing', 'authentication'],
        groups: ['system:bootstrappers:kubeadm:default-node-token'],
      },
    ]);
    assert.equal(init.nodeRegistration.name, 'cp-1');
    assert.equal(init.nodeRegistration.ignorePreflightErrors, undefined);
  });

  it('joins by token and pins the authority, control planes as such', () => {
    const worker = kubeadmFile('joinWorker')['JoinConfiguration'];
    const controlPlane = kubeadmFile('joinControlPlane')['JoinConfiguration'];

    for (const join of [worker, controlPlane]) {
      assert.deepEqual(join.discovery.bootstrapToken, {
        apiServerEndpoint: '10.0.0.10:6443',
        token: 'abcdef.0123456789abcdef',
        caCertHashes: [publicKeyHash(secrets['ca.crt'] ?? '')],
      });
    }
    assert.equal(worker.controlPlane, undefined);
    assert.deepEqual(controlPlane.controlPlane, {});
  });

  it('passes the pre-flight check over kube-vip’s file, only where it is', () => {
    assert.deepEqual(errorsOf('joinControlPlane'), ['DirAvailable--etc-kubernetes-manifests']);
    assert.equal(errorsOf('joinControlPlane', { controlPlane: { skipLoadBalancerDeployment: true } }), undefined);
    assert.equal(errorsOf('joinWorker'), undefined);
  });

  it('speaks the form of each version', () => {
    const forms = ['1.22', '1.25', '1.30', '1.31', '1.34'].map((kubernetesVersion) => {
      const documents = kubeadmFile('init', { cluster: { kubernetesVersion } });
      const { InitConfiguration: init, ClusterConfiguration: cluster } = documents;
      assert.equal(cluster.apiVersion, init.apiVersion);
      return [kubernetesVersion, init.apiVersion, Array.isArray(init.nodeRegistration.kubeletExtraArgs)];
    });

    assert.deepEqual(forms, [
      ['1.22', 'kubeadm.k8s.io/v1beta3', false],
      ['1.25', 'kubeadm.k8s.io/v1beta3', false],
      ['1.30', 'kubeadm.k8s.io/v1beta3', false],
      ['1.31', 'kubeadm.k8s.io/v1beta4', true],
      ['1.34', 'kubeadm.k8s.io/v1beta4', true],
    ]);
    assert.throws(() => userData('init', { cluster: { kubernetesVersion: '1.21' } }), {
      code: 'unsupported',
      message: /Kubernetes 1\.21.*from 1\.22 on/,
    });
  });

  it('goes by the version of the group, not of the cluster', () => {
    const join = kubeadmFile('joinWorker', { workers: { kubernetesVersion: '1.30' } })['JoinConfiguration'];

    assert.equal(join.apiVersion, 'kubeadm.k8s.io/v1beta3');
    assert.match(content('joinWorker', SCRIPT, { workers: { kubernetesVersion: '1.30' } }), /readonly minor='1\.30'/);
  });

  it('labels and taints nodes as their group says', () => {
    const taint = { key: 'gpu', value: 'yes', effect: 'NoSchedule' } as const;
    const worker = kubeadmFile('joinWorker', { workers: { labels: { rack: 'r1', size: 'xl' }, taints: [taint] } });

    const { nodeRegistration } = worker['JoinConfiguration'];
    assert.deepEqual(nodeRegistration.taints, [taint]);
    assert.deepEqual(nodeRegistration.kubeletExtraArgs, [
      { name: 'provider-id', value: 'tinkerbell://eksa-system/worker-1' },
      { name: 'node-labels', value: 'rack=r1,size=xl' },
      { name: 'read-only-port', value: '0' },
      { name: 'anonymous-auth', value: 'false' },
    ]);
  });

  it('taints control planes as kubeadm does, unless told, and never where there are no workers', () => {
    const taint = { key: 'a', effect: 'NoExecute' } as const;

    assert.equal(taintsOf({}), undefined);
    assert.deepEqual(taintsOf({ controlPlane: { taints: [taint] } }), [taint]);
    assert.deepEqual(taintsOf({ cluster: { workerGroups: [] } }), []);
  });

  it('refuses labels that would keep the kubelet from starting', () => {
    assert.throws(() => labelled('node-role.kubernetes.io/worker'), {
      code: 'invalid_input',
      message: /kubelet refuses/,
    });
    assert.throws(() => labelled('foo.k8s.io/a'), { code: 'invalid_input' });
    for (const key of ['topology.kubernetes.io/zone', 'node.kubernetes.io/a', 'example.com/a', 'a']) labelled(key);
  });

  it('gives the group’s kubelet configuration as a patch, and nothing beside it', () => {
    const changes: ExampleChanges = {
      workers: { kubeletConfiguration: { kind: 'KubeletConfiguration', maxPods: 50 } },
    };
    const patch = parse(content('joinWorker', '/etc/kubernetes/patches/kubeletconfiguration0+strategic.yaml', changes));
    const join = kubeadmFile('joinWorker', changes)['JoinConfiguration'];

    assert.deepEqual(patch, { apiVersion: 'kubelet.config.k8s.io/v1beta1', kind: 'KubeletConfiguration', maxPods: 50 });
    assert.deepEqual(join.patches, { directory: '/etc/kubernetes/patches' });
    assert.deepEqual(join.nodeRegistration.kubeletExtraArgs, [
      { name: 'provider-id', value: 'tinkerbell://eksa-system/worker-1' },
    ]);
    assert.throws(() => userData('joinWorker', { cluster: { kubernetesVersion: '1.24' }, ...changes }), {
      code: 'unsupported',
      message: /group md-0.*1\.25 or newer/,
    });
  });

  it('audits by the operator’s policy, or by ours', () => {
    const path = '/etc/kubernetes/audit-policy.yaml';

    assert.equal(parse(content('init', path)).kind, 'Policy');
    assert.equal(content('init', path, { controlPlane: { auditPolicyContent: 'kind: Policy\n' } }), 'kind: Policy\n');
  });
});

describe('kube-vip', () => {
  it('holds the endpoint by ARP with leader election', () => {
    const { spec } = pod('init');

    assert.deepEqual(environment({}), {
      vip_arp: 'true',
      port: '6443',
      vip_cidr: '32',
      address: '10.0.0.10',
      cp_enable: 'true',
      cp_namespace: 'kube-system',
      vip_ddns: 'false',
      vip_leaderelection: 'true',
      vip_leaseduration: '15',
      vip_renewdeadline: '10',
      vip_retryperiod: '2',
    });
    assert.deepEqual(spec.containers[0].securityContext.capabilities.add, ['NET_ADMIN', 'NET_RAW']);
    assert.equal(spec.hostNetwork, true);
    assert.equal(spec.volumes[0].hostPath.type, 'File');
  });

  it('serves Services only where there are no workers', () => {
    assert.equal(environment({ cluster: { workerGroups: [] } })['svc_enable'], 'true');
    assert.equal(environment({})['svc_enable'], undefined);
  });

  it('gets the whole prefix of an IPv6 endpoint, which is bracketed in addresses', () => {
    const changes = { controlPlane: { endpointHost: 'fd00::10' } };

    assert.equal(environment(changes)['vip_cidr'], '128');
    assert.equal(kubeadmFile('init', changes)['ClusterConfiguration'].controlPlaneEndpoint, '[fd00::10]:6443');
  });

  it('is not there where the operator brings the endpoint, nor on workers', () => {
    const skips = { controlPlane: { skipLoadBalancerDeployment: true } };

    assert.equal(read('init', skips).files.has(KUBE_VIP), false);
    assert.equal(read('joinControlPlane', skips).files.has(KUBE_VIP), false);
    assert.equal(read('joinWorker').files.has(KUBE_VIP), false);
    assert.doesNotMatch(content('init', SCRIPT, skips), /kube-vip/);
  });

  it('begins with super-admin.conf on the first node from 1.29 on, and with admin.conf everywhere else', () => {
    assert.equal(kubeconfigPathOf('init', '1.28'), '/etc/kubernetes/admin.conf');
    assert.equal(kubeconfigPathOf('init', '1.29'), '/etc/kubernetes/super-admin.conf');
    assert.equal(kubeconfigPathOf('joinControlPlane', '1.29'), '/etc/kubernetes/admin.conf');
    assert.match(content('init', SCRIPT), /sed -i 's#path: \/etc\/kubernetes\/super-admin\.conf#/);
    assert.doesNotMatch(content('init', SCRIPT, { cluster: { kubernetesVersion: '1.28' } }), /super-admin/);
  });
});

describe('containerd on a node', () => {
  const mirror = { endpoint: 'mirror.example', port: '5000', ociNamespaces: [], insecureSkipVerify: false };

  it('is left alone without proxy and mirror', () => {
    assert.doesNotMatch(content('init', SCRIPT), /restart containerd/);
  });

  it('goes through the proxy, except for what is inside', () => {
    const proxy = { http: 'http://u:p%40@proxy:3128', https: 'http://proxy:3128', except: ['.example'] };
    const { files } = read('joinWorker', { cluster: { proxy } });

    const dropIn = files.get('/etc/systemd/system/containerd.service.d/http-proxy.conf');
    assert.deepEqual(dropIn?.content.split('\n'), [
      '[Service]',
      'Environment="HTTP_PROXY=http://u:p%%40@proxy:3128"',
      'Environment="HTTPS_PROXY=http://proxy:3128"',
      'Environment="NO_PROXY=.example,localhost,127.0.0.1,.svc,.cluster.local,192.168.0.0/16,10.96.0.0/12,10.0.0.10,10.0.0.1"',
      '',
    ]);
    assert.equal(dropIn?.permissions, '0600');
    assert.match(files.get(SCRIPT)?.content ?? '', /systemctl restart containerd/);
  });

  it('asks a mirror without namespaces for everything, trusting its authority', () => {
    const { files } = read('init', { cluster: { registryMirror: { ...mirror, caCertContent: 'PEM\n' } } });

    assert.equal(
      files.get('/etc/containerd/certs.d/_default/hosts.toml')?.content,
      '[host."https://mirror.example:5000"]\n' +
        '  capabilities = ["pull", "resolve"]\n' +
        '  ca = "/etc/containerd/certs.d/mirror-ca.crt"\n',
    );
    assert.equal(files.get('/etc/containerd/certs.d/mirror-ca.crt')?.content, 'PEM\n');
  });

  it('asks a mirror with namespaces for their registries only', () => {
    const ociNamespaces = [
      { registry: 'public.ecr.aws', namespace: 'eks-anywhere' },
      { registry: 'ghcr.io', namespace: '' },
    ];
    const { files } = read('init', {
      cluster: { registryMirror: { ...mirror, ociNamespaces, insecureSkipVerify: true } },
    });

    assert.equal(
      files.get('/etc/containerd/certs.d/public.ecr.aws/hosts.toml')?.content,
      'server = "https://public.ecr.aws"\n\n' +
        '[host."https://mirror.example:5000/v2/eks-anywhere"]\n' +
        '  capabilities = ["pull", "resolve"]\n' +
        '  override_path = true\n' +
        '  skip_verify = true\n',
    );
    assert.match(files.get('/etc/containerd/certs.d/ghcr.io/hosts.toml')?.content ?? '', /mirror\.example:5000"\]\n/);
    assert.equal(files.has('/etc/containerd/certs.d/_default/hosts.toml'), false);
  });
});
