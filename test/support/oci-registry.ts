import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface OciRegistry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  /** Method, path and whether somebody logged in, of every request of both servers. */
  readonly requests: readonly string[];
  /** Puts a blob and gives its digest. */
  putBlob(bytes: Buffer): string;
  putManifest(tag: string, document: unknown): string;
}

export interface OciRegistryOptions {
  readonly auth?: 'basic' | 'bearer';
  /** Blobs are kept by another server. */
  readonly redirects?: boolean;
  /** Each token is good for so many requests. */
  readonly tokenUses?: number;
  /** Where it says that tokens are, instead of its own address. */
  readonly realm?: string;
  /** What is answered instead of a JSON document with the token. */
  readonly tokenAnswer?: (token: string) => string;
  /** How a blob is answered instead; the server's own way if it says false. */
  readonly blob?: (request: IncomingMessage, response: ServerResponse, bytes: Buffer) => boolean;
}

export const REGISTRY_USER = { username: 'me', password: 'hunter2' };
const BASIC = `Basic ${Buffer.from('me:hunter2').toString('base64')}`;

/** A registry as the OCI Distribution Specification describes pulling, on a free port of 127.0.0.1. */
export async function ociRegistry(options: OciRegistryOptions = {}): Promise<OciRegistry> {
  const registry = new FakeRegistry(options);
  await registry.listen();
  return registry;
}

class FakeRegistry implements OciRegistry {
  readonly requests: string[] = [];
  readonly #options: OciRegistryOptions;
  readonly #blobs = new Map<string, Buffer>();
  readonly #manifests = new Map<string, Buffer>();
  readonly #registry = createServer((request, response) => this.#answer(request, response));
  readonly #store = createServer((request, response) => {
    this.#note('store', request);
    const digest = new URL(request.url ?? '', 'http://store').pathname.slice(1);
    this.#sendBlob(request, response, this.#blobs.get(digest) ?? Buffer.alloc(0));
  });
  #token = { value: '', usesLeft: 0 };
  #issued = 0;

  constructor(options: OciRegistryOptions) {
    this.#options = options;
  }

  async listen(): Promise<void> {
    for (const server of [this.#registry, this.#store]) {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
    }
  }

  get host(): string {
    return hostOf(this.#registry);
  }

  putBlob(bytes: Buffer): string {
    return put(this.#blobs, bytes);
  }

  putManifest(tag: string, document: unknown): string {
    const bytes = Buffer.from(JSON.stringify(document));
    this.#manifests.set(tag, bytes);
    return put(this.#manifests, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const server of [this.#registry, this.#store]) {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    }
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.#note('registry', request);
    const url = new URL(request.url ?? '', 'http://registry');
    if (url.pathname === '/token') this.#sendToken(url, request, response);
    else if (this.#isAllowed(request)) this.#sendContent(url, request, response);
    else {
      const realm = this.#options.realm ?? `http://${request.headers.host ?? ''}/token`;
      const challenge = this.#options.auth === 'basic' ? 'Basic realm="x"' : `Bearer realm="${realm}",service="test"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    }
  }

  #sendToken(url: URL, request: IncomingMessage, response: ServerResponse): void {
    if (request.headers.authorization !== BASIC) {
      response.writeHead(401).end();
      return;
    }
    this.#issued += 1;
    this.#token = {
      value: `token-${this.#issued}`,
      usesLeft: this.#options.tokenUses ?? Number.MAX_SAFE_INTEGER,
    };
    const document = JSON.stringify({ token: url.searchParams.has('scope') ? this.#token.value : '' });
    response.end(this.#options.tokenAnswer?.(this.#token.value) ?? document);
  }

  #isAllowed(request: IncomingMessage): boolean {
    const { authorization } = request.headers;
    if (this.#options.auth === undefined) return true;
    if (this.#options.auth === 'basic') return authorization === BASIC;
    if (authorization !== `Bearer ${this.#token.value}` || this.#token.usesLeft <= 0) return false;
    this.#token.usesLeft -= 1;
    return true;
  }

  #sendContent(url: URL, request: IncomingMessage, response: ServerResponse): void {
    const [, kind, name = ''] = /^\/v2\/os\/image\/(manifests|blobs)\/(.+)$/.exec(url.pathname) ?? [];
    const bytes = kind === 'manifests' ? this.#manifests.get(name) : this.#blobs.get(name);
    if (bytes === undefined) response.writeHead(404).end();
    else if (kind === 'manifests') response.end(bytes);
    else if (this.#options.redirects === true) {
      response.writeHead(307, { location: `http://${hostOf(this.#store)}/${name}?signature=cafe` }).end();
    } else this.#sendBlob(request, response, bytes);
  }

  #sendBlob(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
    if (this.#options.blob?.(request, response, bytes) === true) return;
    const start = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
    const range = start === 0 ? {} : { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(start === 0 ? 200 : 206, { 'content-length': bytes.length - start, etag: '"b"', ...range });
    response.end(bytes.subarray(start));
  }

  #note(where: string, request: IncomingMessage): void {
    const kind = request.headers.authorization?.split(' ', 1)[0] ?? 'nobody';
    this.requests.push(`${where} ${request.url ?? ''} ${kind}`);
  }
}

function put(map: Map<string, Buffer>, bytes: Buffer): string {
  const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
  map.set(digest, bytes);
  return digest;
}

function hostOf(server: Server): string {
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
