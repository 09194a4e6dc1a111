import { isIPv6 } from 'node:net';
import { TinsmithError } from '#proto/errors.ts';
import type { JsonObject } from '../../manifests/hardware-kind.ts';
import type { Cluster } from '../../store/store.ts';
import type { KubernetesNodes } from '../kubernetes-nodes.ts';
import { type AuthenticatedServer, ask, type JsonAnswer } from './authenticated-request.ts';
import type { BootstrapToken, ClusterAccess, ClusterSecrets } from './bootstrapper.ts';
import { bootstrapperFor } from './bootstrappers.ts';
import { issueClient, type KeyPair } from './cluster-pki.ts';
import { drainNode } from './drain-node.ts';
import { removeEtcdMember } from './etcd-members.ts';
import { objectsAt, textAt } from './json-fields.ts';
import { kubernetesRefused } from './kubernetes-refused.ts';

/** What is asked of a running cluster. Its client certificates are made for each instance and never leave the process. */
export interface KubernetesApi extends KubernetesNodes {
  /** Whether the API server answers that it is ready. */
  isUp(signal: AbortSignal): Promise<boolean>;
  /** Whether a node is there and says that it is ready. */
  nodeReady(name: string, signal: AbortSignal): Promise<boolean>;
}

export interface KubernetesApiOptions {
  readonly clock: () => Date;
  /** How long one try to drain a node lasts. */
  readonly drainTimeoutMs?: number;
  /** Where etcd listens on control-plane nodes. */
  readonly etcdPort?: number;
}

const CLIENT_LIFE_MS = 3_600_000;
const DRAIN_TIMEOUT_MS = 60_000;
const ETCD_PORT = 2379;
const IDENTITY = { commonName: 'tinsmith', organizations: ['system:masters'] };
const CONTROL_PLANE_LABEL = 'node-role.kubernetes.io/control-plane';

/** The Kubernetes of a cluster; undefined where its bootstrapper makes none. */
export function kubernetesOf(
  { definition }: Pick<Cluster, 'definition'>,
  secrets: ClusterSecrets,
  options: KubernetesApiOptions,
): KubernetesApi | undefined {
  const access = bootstrapperFor(definition).access(definition, secrets);
  return access === undefined ? undefined : kubernetesApi(access, options);
}

export function kubernetesApi(access: ClusterAccess, options: KubernetesApiOptions): KubernetesApi {
  const api = new CachedServer(access.url, access.serverAuthority, access.clientAuthority, options.clock);
  return {
    isUp: (signal) => isUp(api, signal),
    nodeReady: async (name, signal) => {
      const node = await findNode(await api.server(), name, signal);
      return node !== undefined && isReady(node);
    },
    addToken: async (token, signal) => {
      if (access.joinsByToken) await addToken(await api.server(), token, signal);
    },
    removeNode: async ({ name, role }, signal) => {
      const server = await api.server();
      const node = await findNode(server, name, signal);
      if (node !== undefined) {
        const timeoutMs = options.drainTimeoutMs ?? DRAIN_TIMEOUT_MS;
        await drainNode({ server, node: name, isReady: isReady(node), timeoutMs, signal });
      }
      // Before the node is forgotten: its member still counts for the majority when the machine is gone.
      if (role === 'controlPlane') await leaveEtcd(access, { server, name, options }, signal);
      if (node !== undefined) await deleteNode(server, name, signal);
    },
  };
}

/** A server whose client certificate is made anew before it ends. */
class CachedServer {
  readonly #url: string;
  readonly #authority: string;
  readonly #issuer: KeyPair;
  readonly #clock: () => Date;
  #made: { readonly client: KeyPair; readonly until: number } | undefined;

  constructor(url: string, authority: string, issuer: KeyPair, clock: () => Date) {
    this.#url = url;
    this.#authority = authority;
    this.#issuer = issuer;
    this.#clock = clock;
  }

  async server(): Promise<AuthenticatedServer> {
    const at = this.#clock();
    if (this.#made === undefined || this.#made.until <= at.getTime()) {
      const client = await issueClient(this.#issuer, IDENTITY, { at, lifeMs: CLIENT_LIFE_MS });
      this.#made = { client, until: at.getTime() + CLIENT_LIFE_MS / 2 };
    }
    return { url: this.#url, authority: this.#authority, client: this.#made.client };
  }
}

async function isUp(api: CachedServer, signal: AbortSignal): Promise<boolean> {
  try {
    const { status } = await ask(await api.server(), { method: 'GET', path: '/readyz', signal });
    return status === 200;
  } catch (fault) {
    if (fault instanceof TinsmithError && fault.code === 'unavailable') return false;
    throw fault;
  }
}

async function findNode(
  server: AuthenticatedServer,
  name: string,
  signal: AbortSignal,
): Promise<JsonObject | undefined> {
  const answer = await ask(server, { method: 'GET', path: nodePath(name), signal });
  if (answer.status === 404) return undefined;
  return good(server, `look at node ${name}`, answer);
}

function isReady(node: JsonObject): boolean {
  return objectsAt(node, 'status', 'conditions').some(
    (condition) => textAt(condition, 'type') === 'Ready' && textAt(condition, 'status') === 'True',
  );
}

/** The Secret that kubeadm and the API server know tokens by, applied: there afterwards, whatever was before. */
async function addToken(
  server: AuthenticatedServer,
  { token, expiresAt }: BootstrapToken,
  signal: AbortSignal,
): Promise<void> {
  const [id = '', secret = ''] = token.split('.');
  const name = `bootstrap-token-${id}`;
  const data = {
    'token-id': id,
    'token-secret': secret,
    expiration: expiresAt.toISOString(),
    'usage-bootstrap-authentication': 'true',
    'usage-bootstrap-signing': 'true',
    'auth-extra-groups': 'system:bootstrappers:kubeadm:default-node-token',
    description: 'Made by Tinsmith for nodes that join',
  };
  const entries = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')] as const);
  const answer = await ask(server, {
    method: 'PATCH',
    path: `/api/v1/namespaces/kube-system/secrets/${encodeURIComponent(name)}?fieldManager=tinsmith&force=true`,
    contentType: 'application/apply-patch+yaml',
    body: {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, namespace: 'kube-system' },
      type: 'bootstrap.kubernetes.io/token',
      data: Object.fromEntries(entries),
    },
    signal,
  });
  good(server, 'add a token for nodes that join', answer);
}

async function deleteNode(server: AuthenticatedServer, name: string, signal: AbortSignal): Promise<void> {
  const answer = await ask(server, { method: 'DELETE', path: nodePath(name), signal });
  if (answer.status !== 404) good(server, `delete node ${name}`, answer);
}

/** The last control-plane node takes its etcd along. */
async function leaveEtcd(
  { etcd }: ClusterAccess,
  {
    server,
    name,
    options,
  }: { readonly server: AuthenticatedServer; readonly name: string; readonly options: KubernetesApiOptions },
  signal: AbortSignal,
): Promise<void> {
  if (etcd === undefined) return;
  const query = new URLSearchParams({ labelSelector: CONTROL_PLANE_LABEL });
  const answer = await ask(server, { method: 'GET', path: `/api/v1/nodes?${query.toString()}`, signal });
  const nodes = objectsAt(good(server, 'list the control plane', answer), 'items');
  const others = nodes.filter((node) => textAt(node, 'metadata', 'name') !== name);
  if (others.length === 0) return;
  const client = await issueClient(etcd, IDENTITY, { at: options.clock(), lifeMs: CLIENT_LIFE_MS });
  const port = options.etcdPort ?? ETCD_PORT;
  const members = others.flatMap(internalAddresses).map((address) => ({
    url: `https://${isIPv6(address) ? `[${address}]` : address}:${port}`,
    authority: etcd.certificate,
    client,
  }));
  await removeEtcdMember(members, name, signal);
}

function internalAddresses(node: JsonObject): readonly string[] {
  return objectsAt(node, 'status', 'addresses').flatMap((address) => {
    const value = textAt(address, 'address');
    return textAt(address, 'type') === 'InternalIP' && value !== undefined ? [value] : [];
  });
}

function good(server: AuthenticatedServer, what: string, answer: JsonAnswer): JsonObject {
  if (answer.status >= 200 && answer.status < 300) return answer.body;
  throw kubernetesRefused(server, what, answer);
}

function nodePath(name: string): string {
  return `/api/v1/nodes/${encodeURIComponent(name)}`;
}
