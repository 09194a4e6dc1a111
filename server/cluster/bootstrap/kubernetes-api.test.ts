import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { exampleDefinition } from '#test/support/example-node.ts';
import { type FakeRequest, type FakeServer, fakeServer } from '#test/support/fake-kubernetes.ts';
import type { AuthenticatedServer } from './authenticated-request.ts';
import { issueClient, type KeyPair, makeAuthority } from './cluster-pki.ts';
import { removeEtcdMember } from './etcd-members.ts';
import { kubeadm } from './kubeadm.ts';
import { type KubernetesApi, type KubernetesApiOptions, kubernetesApi, kubernetesOf } from './kubernetes-api.ts';

type Answer = Awaited<ReturnType<Parameters<typeof fakeServer>[0]['answer']>>;

const signal = new AbortController().signal;
const clock = (): Date => new Date();
const NOBODY: KeyPair = { certificate: '', key: '' };
const all: { api: KeyPair; etcd: KeyPair; other: KeyPair } = { api: NOBODY, etcd: NOBODY, other: NOBODY };

before(async () => {
  const [api, etcd, other] = await Promise.all(
    ['kubernetes', 'etcd-ca', 'kubernetes'].map((name) => makeAuthority(name, new Date())),
  );
  Object.assign(all, { api, etcd, other });
});

/** An API server that answers by method and path; what it does not know is not found. */
function kubernetes(
  answers: Readonly<Record<string, Answer | ((request: FakeRequest) => Answer)>>,
): Promise<FakeServer> {
  return fakeServer({
    authority: all.api,
    clientAuthority: all.api,
    answer: (request) => {
      const found = answers[`${request.method} ${request.path}`] ?? { status: 404, body: { message: 'not found' } };
      return typeof found === 'function' ? found(request) : found;
    },
  });
}

function apiOf({ url }: FakeServer, options: Partial<KubernetesApiOptions> & { etcd?: KeyPair } = {}): KubernetesApi {
  const { etcd, ...rest } = options;
  const access = {
    url,
    serverAuthority: all.api.certificate,
    clientAuthority: all.api,
    joinsByToken: true,
    ...(etcd === undefined ? {} : { etcd }),
  };
  return kubernetesApi(access, { clock, ...rest });
}

function linesOf({ requests }: FakeServer): readonly string[] {
  return requests.map(({ method, path }) => `${method} ${path}`);
}

function node(name: string, ready: 'True' | 'False', address = '127.0.0.1'): object {
  const addresses = [
    { type: 'Hostname', address: name },
    { type: 'InternalIP', address },
  ];
  return { metadata: { name }, status: { conditions: [{ type: 'Ready', status: ready }], addresses } };
}

function pod(name: string, more: { readonly metadata?: object; readonly status?: object } = {}): object {
  return { metadata: { name, namespace: 'default', ...more.metadata }, status: { phase: 'Running', ...more.status } };
}

describe('a running cluster', () => {
  it('is up when its API server says that it is ready, and not when nobody answers or the answer is no', async () => {
    await using up = await kubernetes({ 'GET /readyz': {} });
    await using down = await kubernetes({ 'GET /readyz': { status: 500 } });
    const gone = await kubernetes({});
    await gone[Symbol.asyncDispose]();

    const answers = await Promise.all([up, down, gone].map((server) => apiOf(server).isUp(signal)));

    assert.deepEqual(answers, [true, false, false]);
    assert.deepEqual([up.requests[0]?.client.CN, up.requests[0]?.client.O], ['tinsmith', 'system:masters']);
  });

  it('is believed only with the authority that we made, and believes only clients of it', async () => {
    await using server = await kubernetes({ 'GET /readyz': {} });
    const access = { url: server.url, joinsByToken: true };
    const wrongServer = kubernetesApi(
      { ...access, serverAuthority: all.other.certificate, clientAuthority: all.api },
      { clock },
    );
    const wrongClient = kubernetesApi(
      { ...access, serverAuthority: all.api.certificate, clientAuthority: all.other },
      { clock },
    );

    await assert.rejects(wrongServer.nodeReady('a', signal), { code: 'unavailable', message: /certificate|signature/ });
    await assert.rejects(wrongClient.nodeReady('a', signal), { code: 'unavailable' });
    assert.deepEqual(server.requests, []);
  });

  it('knows which nodes are ready', async () => {
    await using server = await kubernetes({
      'GET /api/v1/nodes/a': { body: node('a', 'True') },
      'GET /api/v1/nodes/b': { body: node('b', 'False') },
      'GET /api/v1/nodes/d': { status: 403, body: { message: 'forbidden here' } },
    });
    const api = apiOf(server);

    assert.deepEqual([await api.nodeReady('a', signal), await api.nodeReady('b', signal)], [true, false]);
    assert.equal(await api.nodeReady('c', signal), false);
    await assert.rejects(api.nodeReady('d', signal), { code: 'conflict', message: /node d: .*forbidden here/ });
  });

  it('takes a token with its end, applied whatever was there', async () => {
    const path = '/api/v1/namespaces/kube-system/secrets/bootstrap-token-abcdef';
    await using server = await kubernetes({ [`PATCH ${path}`]: { status: 201 } });
    const expiresAt = new Date('2026-11-27T12:00:00Z');

    await apiOf(server).addToken({ token: 'abcdef.0123456789abcdef', expiresAt }, signal);

    const [request] = server.requests;
    assert.equal(request?.contentType, 'application/apply-patch+yaml');
    assert.deepEqual([request.query.get('fieldManager'), request.query.get('force')], ['tinsmith', 'true']);
    assert.equal(request.body.type, 'bootstrap.kubernetes.io/token');
    const decoded = Object.entries(request.body.data).map(([key, value]) => [
      key,
      Buffer.from(String(value), 'base64').toString(),
    ]);
    assert.deepEqual(Object.fromEntries(decoded), {
      'token-id': 'abcdef',
      'token-secret': '0123456789abcdef',
      expiration: '2026-11-27T12:00:00.000Z',
      'usage-bootstrap-authentication': 'true',
      'usage-bootstrap-signing': 'true',
      'auth-extra-groups': 'system:bootstrappers:kubeadm:default-node-token',
      description: 'Made by Tinsmith for nodes that join',
    });
  });

  it('is given up on in bounded time, or at once when asked to', async () => {
    await using server = await kubernetes({ 'GET /api/v1/nodes/a': 'silence' });
    const cancel = new AbortController();

    const asked = apiOf(server).nodeReady('a', cancel.signal);
    cancel.abort(new Error('enough'));

    await assert.rejects(asked, /enough/);
    await assert.rejects(apiOf(server).nodeReady('a', AbortSignal.abort(new Error('before'))), /before/);
  });

  it('does not exist for bootstrappers without Kubernetes', async () => {
    const definition = exampleDefinition({ cluster: { bootstrapper: 'none' } });

    assert.equal(kubernetesOf({ definition }, {}, { clock }), undefined);
    const secrets = await kubeadm.makeSecrets(exampleDefinition(), new Date());
    assert.ok(kubernetesOf({ definition: exampleDefinition() }, secrets, { clock }) !== undefined);
  });
});

describe('a node that leaves', () => {
  it('is closed, emptied of what can move, and deleted, in this order', async () => {
    const left = new Map([
      ['web', pod('web')],
      ['agent', pod('agent', { metadata: { ownerReferences: [{ kind: 'DaemonSet' }] } })],
      ['static', pod('static', { metadata: { annotations: { 'kubernetes.io/config.mirror': 'x' } } })],
      ['job', pod('job', { status: { phase: 'Succeeded' } })],
      ['db', pod('db')],
    ]);
    const evict = (name: string) => (): Answer => {
      left.delete(name);
      return { status: 201 };
    };
    await using server = await kubernetes({
      'GET /api/v1/nodes/w': { body: node('w', 'True') },
      'PATCH /api/v1/nodes/w': {},
      'GET /api/v1/pods': ({ query }) => {
        // Two pages, as of a large node.
        assert.equal(query.get('fieldSelector'), 'spec.nodeName=w');
        const items = [...left.values()];
        if (query.get('continue') === 'more') return { body: { items: items.slice(1) } };
        return { body: { items: items.slice(0, 1), metadata: { continue: 'more' } } };
      },
      'POST /api/v1/namespaces/default/pods/web/eviction': evict('web'),
      'POST /api/v1/namespaces/default/pods/db/eviction': evict('db'),
      'DELETE /api/v1/nodes/w': {},
    });

    await apiOf(server).removeNode({ name: 'w', role: 'worker' }, signal);

    assert.deepEqual(server.requests[1]?.body, { spec: { unschedulable: true } });
    assert.deepEqual(
      linesOf(server).filter((line) => !line.startsWith('GET')),
      [
        'PATCH /api/v1/nodes/w',
        'POST /api/v1/namespaces/default/pods/web/eviction',
        'POST /api/v1/namespaces/default/pods/db/eviction',
        'DELETE /api/v1/nodes/w',
      ],
    );
  });

  it('waits for disruption budgets, and names them when the time is over', async () => {
    const refused = { status: 429, body: { message: 'the budget needs 2 healthy pods' } };
    await using server = await kubernetes({
      'GET /api/v1/nodes/w': { body: node('w', 'True') },
      'PATCH /api/v1/nodes/w': {},
      'GET /api/v1/pods': { body: { items: [pod('db')] } },
      'POST /api/v1/namespaces/default/pods/db/eviction': refused,
    });

    await assert.rejects(apiOf(server, { drainTimeoutMs: 0 }).removeNode({ name: 'w', role: 'worker' }, signal), {
      code: 'unavailable',
      message: 'node w is not drained yet, still there: default/db: the budget needs 2 healthy pods',
    });
    assert.ok(!linesOf(server).includes('DELETE /api/v1/nodes/w'));
  });

  it('tries again while a budget holds a pod back', async () => {
    let tries = 0;
    let isThere = true;
    await using server = await kubernetes({
      'GET /api/v1/nodes/w': { body: node('w', 'True') },
      'PATCH /api/v1/nodes/w': {},
      'GET /api/v1/pods': () => ({ body: { items: isThere ? [pod('db')] : [] } }),
      'POST /api/v1/namespaces/default/pods/db/eviction': () => {
        tries += 1;
        isThere = tries < 2;
        return isThere ? { status: 429 } : { status: 201 };
      },
      'DELETE /api/v1/nodes/w': {},
    });

    await apiOf(server).removeNode({ name: 'w', role: 'worker' }, signal);

    assert.equal(tries, 2);
  });

  it('does not wait for a dead machine to end pods, but does for a living one', async () => {
    const ending = pod('web', { metadata: { deletionTimestamp: '2026-11-26T12:00:00Z' } });
    for (const ready of ['False', 'True'] as const) {
      await using server = await kubernetes({
        'GET /api/v1/nodes/w': { body: node('w', ready) },
        'PATCH /api/v1/nodes/w': {},
        'GET /api/v1/pods': { body: { items: [ending] } },
        'DELETE /api/v1/nodes/w': {},
      });

      const removed = apiOf(server, { drainTimeoutMs: 0 }).removeNode({ name: 'w', role: 'worker' }, signal);

      if (ready === 'False') await removed;
      else await assert.rejects(removed, { message: /still there: default\/web$/ });
      assert.equal(
        linesOf(server).some((line) => line.endsWith('/eviction')),
        false,
      );
    }
  });

  it('may have left already', async () => {
    await using server = await kubernetes({});

    await apiOf(server).removeNode({ name: 'w', role: 'worker' }, signal);

    assert.deepEqual(linesOf(server), ['GET /api/v1/nodes/w']);
  });

  it('of the control plane leaves etcd before it is deleted, also when its node has gone already', async () => {
    for (const isThere of [true, false]) {
      await using etcd = await fakeEtcd(['cp-1', 'cp-2']);
      await using server = await kubernetes({
        ...(isThere ? { 'GET /api/v1/nodes/cp-1': { body: node('cp-1', 'True', '127.0.0.1') } } : {}),
        'PATCH /api/v1/nodes/cp-1': {},
        'GET /api/v1/pods': { body: { items: [] } },
        'GET /api/v1/nodes': ({ query }) => {
          assert.equal(query.get('labelSelector'), 'node-role.kubernetes.io/control-plane');
          return { body: { items: [node('cp-1', 'True', '127.9.9.9'), node('cp-2', 'True')] } };
        },
        'DELETE /api/v1/nodes/cp-1': () => {
          assert.deepEqual(etcd.members, ['cp-2'], 'not deleted before its member has left');
          return {};
        },
      });
      const api = apiOf(server, { etcd: all.etcd, etcdPort: etcd.port });

      await api.removeNode({ name: 'cp-1', role: 'controlPlane' }, signal);

      assert.deepEqual(etcd.members, ['cp-2']);
      assert.equal(linesOf(server).includes('DELETE /api/v1/nodes/cp-1'), isThere);
      assert.equal(etcd.requests[0]?.client.CN, 'tinsmith');
    }
  });

  it('takes its etcd along when it is the last of the control plane', async () => {
    await using server = await kubernetes({
      'GET /api/v1/nodes/cp-1': { body: node('cp-1', 'True') },
      'PATCH /api/v1/nodes/cp-1': {},
      'GET /api/v1/pods': { body: { items: [] } },
      'GET /api/v1/nodes': { body: { items: [node('cp-1', 'True')] } },
      'DELETE /api/v1/nodes/cp-1': {},
    });

    await apiOf(server, { etcd: all.etcd, etcdPort: 1 }).removeNode({ name: 'cp-1', role: 'controlPlane' }, signal);

    assert.equal(linesOf(server).at(-1), 'DELETE /api/v1/nodes/cp-1');
  });
});

interface FakeEtcd extends FakeServer {
  readonly members: string[];
}

/** The gateway's two calls, and its 64-bit ids as text. */
async function fakeEtcd(names: readonly string[], refuses?: { status: number; body: object }): Promise<FakeEtcd> {
  const members = [...names];
  const idOf = (name: string): string => `1844674407370955161${names.indexOf(name)}`;
  const server = await fakeServer({
    authority: all.etcd,
    clientAuthority: all.etcd,
    answer: ({ method, path, body }) => {
      assert.equal(method, 'POST');
      if (path === '/v3/cluster/member/list')
        return { body: { members: members.map((name) => ({ ID: idOf(name), name })) } };
      assert.equal(path, '/v3/cluster/member/remove');
      if (refuses !== undefined) return refuses;
      const index = members.findIndex((name) => idOf(name) === body.ID);
      if (index < 0) return { status: 404 };
      members.splice(index, 1);
      return {};
    },
  });
  return Object.assign(server, { members });
}

async function serverOf({ url }: FakeServer): Promise<AuthenticatedServer> {
  const client = await issueClient(
    all.etcd,
    { commonName: 'c', organizations: [] },
    { at: new Date(), lifeMs: 60_000 },
  );
  return { url, authority: all.etcd.certificate, client };
}

describe('etcd', () => {
  it('loses a member by name, once, asking the next member where one does not answer', async () => {
    await using etcd = await fakeEtcd(['a', 'b']);
    const server = await serverOf(etcd);
    const dead = { ...server, url: 'https://127.0.0.1:1' };

    await removeEtcdMember([dead, server], 'a', signal);
    await removeEtcdMember([dead, server], 'a', signal);

    assert.deepEqual(etcd.members, ['b']);
    assert.equal(linesOf(etcd).filter((line) => line.endsWith('/remove')).length, 1);
    await assert.rejects(removeEtcdMember([dead], 'a', signal), {
      code: 'unavailable',
      message: /by any other member: cannot ask https:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/,
    });
  });

  it('may refuse, to keep its majority, and says so', async () => {
    const refuses = {
      status: 412,
      body: { message: 'etcdserver: re-configuration failed due to not enough started members' },
    };
    await using etcd = await fakeEtcd(['a', 'b'], refuses);

    await assert.rejects(removeEtcdMember([await serverOf(etcd)], 'a', signal), {
      code: 'conflict',
      message: /cannot take a out of etcd at .*not enough started members/,
    });
  });
});
