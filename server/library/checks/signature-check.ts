import { createHash, createPublicKey, createVerify, type KeyObject } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import { signatureInBundle } from './cosign-bundle.ts';
import { minisignCheck, parseMinisignKey } from './minisign.ts';
import { openpgpCheck } from './openpgp.ts';
import { badSignature, wrongSignature } from './signature-errors.ts';
import type { SignatureCheck } from './source-check.ts';

/** What was signed, by whom, as the two files have it. */
export interface SignatureFiles {
  readonly key: Buffer;
  readonly signature: Buffer;
}

/**
 * Checks a detached signature over bytes as they stream by. The key says what kind it is: minisign, PEM (cosign), or OpenPGP. Throws
 * `invalid_input` for files that are none of that; its `finish` throws `checksum_mismatch`.
 */
export async function signatureCheck(files: SignatureFiles): Promise<SignatureCheck> {
  const text = files.key.toString('latin1');
  if (/^-----BEGIN PUBLIC KEY-----/m.test(text)) return cosignCheck(files);
  const minisignKey = parseMinisignKey(text);
  if (minisignKey !== undefined) return minisignCheck(minisignKey, files.signature);
  return openpgpCheck(files);
}

/**
 * As `cosign sign-blob` makes it, and `openssl dgst -sha256 -sign`: ECDSA with SHA-256 on P-256, the signature in base64, DER or a
 * bundle.
 */
function cosignCheck({ key, signature }: SignatureFiles): SignatureCheck {
  const publicKey = readPem(key);
  const der = signatureInBundle(signature) ?? plainSignature(signature);
  // A sequence of two numbers (RFC 3279 2.2.3).
  if (der[0] !== 0x30)
    throw badSignature(
      'it is no signature of cosign: give the file of cosign sign-blob --output-signature or --bundle',
    );
  const verify = createVerify('sha256');
  return {
    update: (bytes) => void verify.update(bytes),
    finish() {
      if (!verify.verify(publicKey, der)) throw wrongSignature('this key did not make it over this file');
    },
    signer: () => ({ format: 'cosign', key: fingerprintOf(publicKey) }),
  };
}

function fingerprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}

function plainSignature(file: Buffer): Buffer {
  const text = file.toString('latin1').trim();
  return /^[A-Za-z0-9+/=\s]+$/.test(text) ? Buffer.from(text, 'base64') : file;
}

function readPem(key: Buffer): KeyObject {
  let publicKey: KeyObject | undefined;
  try {
    publicKey = createPublicKey(key);
  } catch (cause) {
    throw new TinsmithError('invalid_input', 'cannot read the public key: its PEM is damaged', { cause });
  }
  const curve = publicKey.asymmetricKeyDetails?.namedCurve;
  if (publicKey.asymmetricKeyType === 'ec' && curve === 'prime256v1') return publicKey;
  const kind = curve ?? publicKey.asymmetricKeyType ?? 'of another kind';
  throw new TinsmithError('invalid_input', `cannot use the public key: it is ${kind}, and cosign's are ECDSA on P-256`);
}
