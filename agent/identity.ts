import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  X509Certificate,
} from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { get } from 'node:http';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { messageOf, systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { EnrollRequestSchema, type EnrollResponse } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import type { BootSettings } from './boot-settings.ts';
import { certificateRequest } from './certificate-request.ts';
import { callEnroll, openClient } from './grpc-client.ts';

/** Who this machine is to the server. All PEM. `key` is a secret and never leaves the machine. */
export interface Identity {
  readonly hardware: string;
  readonly ca: string;
  readonly key: string;
  readonly certificate: string;
  /** Seconds since boot (they do not depend on the clock) after which the certificate should be renewed. */
  readonly renewAtUptime: number;
}

export interface IdentityOptions {
  readonly settings: BootSettings;
  readonly bootId: string;
  readonly agentVersion: string;
  /** Asked once, when a request is made. */
  readonly inventoryJson: () => Promise<string>;
  /** Seconds since boot. */
  readonly uptime: () => number;
  readonly signal: AbortSignal;
}

/** The file that lets a restarted agent process of the same boot go on: its token is used up. In memory, 0600. */
const FILE_NAME = 'identity.json';
const MAX_CA_BYTES = 64 * 1024;
const CA_TIMEOUT_MS = 10_000;
/** Part of a certificate's life after which it is renewed. */
const RENEW_AFTER = 2 / 3;

/** What the file holds: key and nonce are there before the token is shown, so that a lost reply can be asked for again. */
interface IdentityDocument {
  readonly bootId: string;
  /** SHA-256 of the token that was, or will be, used. */
  readonly tokenHash: string;
  readonly nonce: string;
  readonly key: string;
  readonly identity?: Identity;
}

/**
 * The identity that an earlier process of this boot got, or a new one. May be called again after any failure: the same key
 * and nonce are shown, which the server answers again. Throws `unauthenticated` when the server refuses the token or is not
 * the one that the boot script named, `unavailable` when it cannot be reached.
 */
export async function obtainIdentity(options: IdentityOptions): Promise<Identity> {
  const { settings, bootId, signal } = options;
  const tokenHash = sha256(settings.token);
  const kept = await readDocument(settings.runDir);
  const isOurs = kept !== undefined && kept.bootId === bootId && kept.tokenHash === tokenHash;
  if (isOurs && kept.identity !== undefined) return kept.identity;
  const document = isOurs ? kept : newDocument(bootId, tokenHash);
  if (!isOurs) await writeDocument(settings.runDir, document);
  const ca = await fetchAuthority(settings, signal);
  const response = await enroll({ ...options, document, ca });
  const identity = identityOf(response, { key: document.key, ca, uptime: options.uptime() });
  await writeDocument(settings.runDir, { ...document, identity });
  return identity;
}

/** Keeps a renewed certificate for the next process. Returns the identity that holds from now on. */
export async function keepRenewed(
  options: Pick<IdentityOptions, 'settings' | 'uptime'>,
  identity: Identity,
  response: EnrollResponse,
): Promise<Identity> {
  const { key, ca } = identity;
  const renewed = identityOf(response, { key, ca, uptime: options.uptime() });
  const kept = await readDocument(options.settings.runDir);
  if (kept !== undefined) await writeDocument(options.settings.runDir, { ...kept, identity: renewed });
  return renewed;
}

function newDocument(bootId: string, tokenHash: string): IdentityDocument {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  return { bootId, tokenHash, key, nonce: randomBytes(24).toString('base64url') };
}

async function enroll(
  options: IdentityOptions & { readonly document: IdentityDocument; readonly ca: string },
): Promise<EnrollResponse> {
  const { settings, document, ca, bootId, agentVersion, signal } = options;
  const privateKey = createPrivateKey(document.key);
  const request = create(EnrollRequestSchema, {
    token: settings.token,
    nonce: document.nonce,
    csr: certificateRequest({ privateKey, publicKey: createPublicKey(privateKey) }, settings.mac),
    mac: settings.mac,
    bootId,
    agentVersion,
    inventoryJson: await options.inventoryJson(),
  });
  const client = openClient(settings.server, { ca });
  try {
    return await callEnroll(client, request, signal);
  } finally {
    client.close();
  }
}

function identityOf(
  response: EnrollResponse,
  known: { readonly key: string; readonly ca: string; readonly uptime: number },
): Identity {
  const certificate = new X509Certificate(response.certificate);
  const lifeSeconds = (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / 1000;
  return {
    hardware: response.hardware,
    ca: known.ca,
    key: known.key,
    certificate: certificate.toString(),
    renewAtUptime: known.uptime + lifeSeconds * RENEW_AFTER,
  };
}

/** The server's CA (PEM), if it is the one whose hash came with the boot script. Throws `unauthenticated`, `unavailable`. */
async function fetchAuthority(settings: BootSettings, signal: AbortSignal): Promise<string> {
  const url = `${settings.http}/ca.der`;
  const der = await download(url, AbortSignal.any([signal, AbortSignal.timeout(CA_TIMEOUT_MS)]));
  const found = sha256(der);
  if (found !== settings.ca) {
    throw new TinsmithError(
      'unauthenticated',
      `the CA at ${url} is not the one this machine was booted to trust (SHA-256 ${found}, expected ${settings.ca})`,
    );
  }
  return new X509Certificate(der).toString();
}

/** A small file over plain HTTP. node:http, because `fetch` takes far longer to load than to answer. */
async function download(url: string, signal: AbortSignal): Promise<Buffer> {
  try {
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const request = get(url, { signal }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      if (response.statusCode !== 200) request.destroy(new Error(`the server answered ${response.statusCode}`));
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_CA_BYTES) request.destroy(new Error(`it is longer than ${MAX_CA_BYTES} bytes`));
        else chunks.push(chunk);
      });
      response.on('end', () => resolve(Buffer.concat(chunks)));
      response.on('error', reject);
    });
    request.on('error', reject);
    return await promise;
  } catch (cause) {
    const fact = messageOf(cause);
    throw new TinsmithError('unavailable', `cannot fetch ${url}: ${fact}`, { cause });
  }
}

async function readDocument(runDir: string): Promise<IdentityDocument | undefined> {
  let text: string;
  try {
    text = await readFile(join(runDir, FILE_NAME), 'utf8');
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
  const value: unknown = JSON.parse(text);
  return isIdentityDocument(value) ? value : undefined;
}

/** Whole or not at all: it is written beside and renamed, so its outline says that it is ours. */
function isIdentityDocument(value: unknown): value is IdentityDocument {
  return typeof value === 'object' && value !== null && 'bootId' in value && 'tokenHash' in value && 'key' in value;
}

async function writeDocument(runDir: string, document: IdentityDocument): Promise<void> {
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  const path = join(runDir, FILE_NAME);
  const next = `${path}.next`;
  await using file = await open(next, 'w', 0o600);
  await file.writeFile(JSON.stringify(document));
  await rename(next, path);
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
