import { createHash } from 'node:crypto';
import type { OciReference } from '#proto/actions/oci-reference.ts';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl, withoutUrlSecrets } from '#proto/url-secrets.ts';
import { addressFix, certificateFix, contactFact } from '../contact-errors.ts';
import { cannotFetch, FinalDownloadError, finalFailure } from '../download-errors.ts';
import type { DownloadAccess } from '../file-request.ts';
import { httpGet } from '../http-request.ts';
import type { HttpResponse } from '../http-response.ts';
import { pause } from '../pause.ts';
import { AGENT_NAME } from '../turn-in-line.ts';

// OCI Distribution Specification 1.1, "Pull", and Docker's token authentication (distribution/spec/auth/token).

/** Which repository, and how it is reached. */
export interface RegistryOptions {
  readonly image: OciReference;
  readonly credentials?: { readonly username: string; readonly password: string };
  readonly skipVerify: boolean;
  readonly proxy: ProxyParams;
  readonly signal: AbortSignal;
  /** Whether a refused connection or an unknown name ends it at once. */
  readonly endsUnreached?: boolean;
  readonly log: (text: string) => void;
}

const ACCEPT = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');
const LONGEST_DOCUMENT_MIB = 4;
const ANSWER_MS = 30_000;
const TRIES = 5;
const PAUSE_MS = 1000;

/** Reads manifests of one repository, and gives what is needed to download its blobs. */
export class RegistryClient implements DownloadAccess {
  readonly skipVerify: boolean;
  readonly #options: RegistryOptions;
  /** What the registry last asked for, and what it is answered. */
  #challenge: string | undefined;
  #authorization: string | undefined;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.skipVerify = options.skipVerify;
  }

  /** For requests to the registry itself. `renew`: the last answer did not take it. */
  async authorization(renew: boolean): Promise<string | undefined> {
    if (renew && this.#challenge !== undefined) this.#authorization = await this.#answer(this.#challenge);
    return this.#authorization;
  }

  /** The bytes are those of the digest, if the version is one or the registry names one. Throws `download_failed`. */
  async manifest(version: string): Promise<unknown> {
    const url = this.#url(`manifests/${version}`);
    const { body, digest } = await this.#retrying(() => this.#fetch(url, version));
    const expected = version.startsWith('sha256:') ? version : digest;
    const found = `sha256:${createHash('sha256').update(body).digest('hex')}`;
    // A registry may use other algorithms for what it calls the digest; ours is checked when it is named.
    if (expected?.startsWith('sha256:') === true && expected !== found) {
      throw new TinsmithError(
        'checksum_mismatch',
        `the manifest ${shownUrl(url)} has the digest ${found}, not ${expected}`,
      );
    }
    try {
      const document: unknown = JSON.parse(body.toString('utf8'));
      return document;
    } catch (cause) {
      throw cannotFetch(url, 'it is no JSON', cause);
    }
  }

  blobUrl(digest: string): string {
    return this.#url(`blobs/${digest}`).href;
  }

  #url(rest: string): URL {
    const { origin, repository } = this.#options.image;
    return new URL(`${origin}/v2/${repository}/${rest}`);
  }

  async #fetch(url: URL, version: string): Promise<{ readonly body: Buffer; readonly digest: string | undefined }> {
    let response = await this.#get(url, this.#authorization);
    if (response.status === 401) {
      response.destroy();
      this.#challenge = response.headers.get('www-authenticate');
      if (this.#challenge === undefined) throw finalFailure(url, 'it answered 401 and no way to log in');
      response = await this.#get(url, await this.authorization(true));
    }
    if (response.status === 200) {
      return { body: await readBody(url, response), digest: response.headers.get('docker-content-digest') };
    }
    response.destroy();
    if (response.status === 404) throw new FinalDownloadError(this.#absent(version));
    if (response.status === 401 || response.status === 403) {
      throw this.#refused(url);
    }
    const error = cannotFetch(url, `the registry answered ${response.status}`);
    throw response.status < 500 && response.status !== 429 ? new FinalDownloadError(error) : error;
  }

  async #get(url: URL, authorization: string | undefined): Promise<HttpResponse> {
    const { proxy, signal } = this.#options;
    const headers = { accept: ACCEPT, 'user-agent': AGENT_NAME };
    const access = { skipVerify: this.skipVerify, ...(authorization === undefined ? {} : { authorization }) };
    return httpGet(url, { headers, proxy, signal, answerMs: ANSWER_MS, ...access });
  }

  /** The Authorization header that a challenge asks for (RFC 9110 11.6.1). */
  async #answer(challenge: string): Promise<string> {
    const { credentials } = this.#options;
    const basic = credentials === undefined ? undefined : basicAuthorization(credentials);
    const parameters = new Map(
      [...challenge.matchAll(/(\w+)="((?:\\.|[^"\\])*)"/g)].map(([, name = '', value = '']) => [
        name.toLowerCase(),
        value,
      ]),
    );
    const place = parameters.get('realm');
    if (/^bearer\s/i.test(challenge.trimStart()) && place !== undefined) {
      return this.#token(this.#realm(place), parameters, basic);
    }
    if (basic !== undefined) return basic;
    const { origin } = this.#options.image;
    throw finalFailure(new URL(origin), 'it wants a user: set REGISTRY_USERNAME and REGISTRY_PASSWORD');
  }

  #realm(place: string): URL {
    const realm = URL.parse(place);
    if (realm !== null && ['http:', 'https:'].includes(realm.protocol)) return realm;
    const said = JSON.stringify(withoutUrlSecrets(place).slice(0, 200));
    const fact = `it says that tokens are at ${said}, which is no http or https URL`;
    const { host } = new URL(this.#options.image.origin);
    throw new FinalDownloadError(
      new TinsmithError('download_failed', `cannot log in to the registry ${host}: ${fact}`),
    );
  }

  async #token(realm: URL, parameters: ReadonlyMap<string, string>, basic: string | undefined): Promise<string> {
    const { image } = this.#options;
    if (realm.protocol !== 'https:' && !image.origin.startsWith('http:')) {
      throw finalFailure(realm, 'the registry sends passwords there, and it has no TLS');
    }
    const service = parameters.get('service');
    if (service !== undefined) realm.searchParams.set('service', service);
    realm.searchParams.set('scope', parameters.get('scope') ?? `repository:${image.repository}:pull`);
    const response = await this.#get(realm, basic);
    if (response.status !== 200) {
      response.destroy();
      if (response.status === 401 || response.status === 403) throw this.#refused(realm);
      const error = cannotFetch(realm, `it answered ${response.status} to the wish for a token`);
      throw response.status < 500 && response.status !== 429 ? new FinalDownloadError(error) : error;
    }
    const token = tokenIn(await readBody(realm, response));
    if (token === undefined) throw cannotFetch(realm, 'it gave no token');
    return `Bearer ${token}`;
  }

  /** Again after network and server errors; blobs have a patience of their own. */
  async #retrying<T>(work: () => Promise<T>): Promise<T> {
    const { signal, log, endsUnreached = false } = this.#options;
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (thrown) {
        signal.throwIfAborted();
        if (thrown instanceof FinalDownloadError) throw thrown.error;
        const fix = endsUnreached ? (certificateFix(thrown) ?? addressFix(thrown)) : undefined;
        const fact = `${contactFact(thrown)}${fix === undefined ? '' : `: ${fix}`}`;
        const error = cannotFetch(new URL(this.#options.image.origin), fact, thrown);
        if (attempt === TRIES || fix !== undefined) throw thrown instanceof TinsmithError ? thrown : error;
        log(`try ${attempt} of ${TRIES}: ${contactFact(thrown)}`);
        await pause(PAUSE_MS * attempt, signal);
      }
    }
  }

  /** Many registries hide from strangers what they refuse them. */
  #absent(version: string): TinsmithError {
    const { image, credentials } = this.#options;
    const what = version.startsWith('sha256:') ? version : `tag ${JSON.stringify(version)}`;
    const where = `the registry ${new URL(image.origin).host} has no ${what} in the repository ${image.repository}`;
    const who = credentials === undefined ? ', or hides it from who is not logged in' : ', or hides it from this user';
    return new TinsmithError('download_failed', `${where}${who}: correct the reference`);
  }

  #refused(url: URL): FinalDownloadError {
    const who = this.#options.credentials === undefined ? 'an anonymous user' : 'this user and password';
    return finalFailure(url, `the registry refuses ${who}: set REGISTRY_USERNAME and REGISTRY_PASSWORD`);
  }
}

/** Neither the answer nor a parser's word of it gets into a sentence: it may be the token itself. */
function tokenIn(body: Buffer): string | undefined {
  try {
    const document: unknown = JSON.parse(body.toString('utf8'));
    const token: unknown = Reflect.get(Object(document), 'token') ?? Reflect.get(Object(document), 'access_token');
    return typeof token === 'string' && /^[\x21-\x7e]+$/.test(token) ? token : undefined;
  } catch {
    return undefined;
  }
}

function basicAuthorization({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

async function readBody(url: URL, response: HttpResponse): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  const deadline = setTimeout(
    () => response.destroy(new TinsmithError('timed_out', 'the answer does not end')),
    ANSWER_MS,
  );
  try {
    for await (const part of response) {
      parts.push(Buffer.from(part));
      length += part.length;
      if (length > LONGEST_DOCUMENT_MIB << 20) {
        throw finalFailure(url, `it is longer than ${LONGEST_DOCUMENT_MIB} MiB, which no manifest or token is`);
      }
    }
  } finally {
    clearTimeout(deadline);
  }
  return Buffer.concat(parts);
}
