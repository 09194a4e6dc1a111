import { createHash, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { TinsmithError } from '#proto/errors.ts';
import { parseInventory } from '#proto/inventory-document.ts';
import { hashBootToken } from '../store/boot-token.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import type { CertificateAuthority, ClientCertificate } from './certificate-authority.ts';

/** What an agent shows to become known, as it came: nothing of it is trusted. */
export interface EnrollRequest {
  /** A secret. */
  readonly token: string;
  readonly nonce: string;
  /** PKCS #10, DER. */
  readonly csr: Uint8Array;
  readonly mac: string;
  readonly bootId: string;
  readonly agentVersion: string;
  readonly inventoryJson: string;
}

export interface Enrollment {
  readonly certificate: ClientCertificate;
  readonly hardware: string;
}

export interface EnrollService {
  /**
   * Uses up a boot token and signs. `from` is the address the request came from. Throws `invalid_input` for a malformed
   * request and `unauthenticated` for a token that is unknown, expired, of another machine, or used by another process.
   * A lost reply is harmless: the same token with the same nonce and key is answered with a certificate again.
   */
  enroll(request: EnrollRequest, from: string): Promise<Enrollment>;
  /** The same identity with a new end date, for the key of a certificate that was shown. Asking twice is harmless. */
  renew(hardware: string, publicKey: Uint8Array): Promise<Enrollment>;
}

const MAX_CSR_BYTES = 2048;
/** Shapes of the fields; a stranger's text gets no further than this. */
const SHAPES = {
  token: /^[\w-]{43}$/,
  nonce: /^[\w-]{16,64}$/,
  mac: /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/,
  bootId: /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
  agentVersion: /^[\w.+-]{1,64}$/,
} as const;

export function createEnrollService(options: {
  readonly transitions: Pick<Transitions, 'enroll'>;
  readonly ca: Pick<CertificateAuthority, 'issueClient'>;
}): EnrollService {
  const { transitions, ca } = options;
  return {
    async enroll(request, from) {
      checkShapes(request);
      const publicKey = await requestedKey(request.csr);
      const hardware = await transitions.enroll(
        {
          tokenHash: hashBootToken(request.token),
          mac: request.mac,
          nonce: request.nonce,
          keyHash: createHash('sha256').update(publicKey).digest('hex'),
          bootId: request.bootId,
          agentVersion: request.agentVersion,
          inventory: parseInventory(request.inventoryJson),
        },
        { actor: 'agent', from },
      );
      return { certificate: await ca.issueClient(publicKey, hardware.name), hardware: hardware.name };
    },
    async renew(hardware, publicKey) {
      return { certificate: await ca.issueClient(publicKey, hardware), hardware };
    },
  };
}

function checkShapes(request: EnrollRequest): void {
  for (const name of ['token', 'nonce', 'mac', 'bootId', 'agentVersion'] as const) {
    if (!SHAPES[name].test(request[name])) {
      throw new TinsmithError('invalid_input', `cannot enroll: the request's ${name} is not of the form it must have`);
    }
  }
}

/** The public key (SPKI, DER) that a request asks a certificate for, after its own signature proved that the key is held. */
async function requestedKey(csr: Uint8Array): Promise<Buffer> {
  if (csr.length > MAX_CSR_BYTES) {
    throw new TinsmithError('invalid_input', `cannot enroll: the certificate request is over ${MAX_CSR_BYTES} bytes`);
  }
  let isProven: boolean;
  let publicKey: x509.PublicKey;
  try {
    const request = new x509.Pkcs10CertificateRequest(Uint8Array.from(csr));
    publicKey = request.publicKey;
    // Only on this curve: strangers must not choose what we compute.
    isProven = isP256(publicKey.algorithm) && (await request.verify(webcrypto));
  } catch (cause) {
    throw new TinsmithError('invalid_input', 'cannot enroll: the certificate request does not parse', { cause });
  }
  if (!isProven) {
    throw new TinsmithError('invalid_input', 'cannot enroll: the certificate request is not signed by its P-256 key');
  }
  return Buffer.from(publicKey.rawData);
}

function isP256(algorithm: object): boolean {
  return 'namedCurve' in algorithm && algorithm.namedCurve === 'P-256';
}
