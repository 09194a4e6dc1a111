import { createHash, createPublicKey, type Hash, verify } from 'node:crypto';
import { ed25519 } from '@noble/curves/ed25519.js';
import { badSignature, wrongSignature } from './signature-errors.ts';
import type { SignatureCheck } from './source-check.ts';

// minisign's formats (jedisct1.github.io/minisign): Ed25519 over the file, or over its BLAKE2b-512.

/** A public key; the number tells keys apart and proves nothing. */
export interface MinisignKey {
  readonly id: Buffer;
  /** Ed25519, 32 bytes. */
  readonly key: Buffer;
}

interface MinisignSignature {
  readonly isPrehashed: boolean;
  readonly id: Buffer;
  /** 64 bytes. */
  readonly signature: Buffer;
}

/** A minisign.pub, or the one line of it that counts; undefined: it is something else. */
export function parseMinisignKey(text: string): MinisignKey | undefined {
  const lines = text.trim().split(/\r?\n/);
  const bytes = Buffer.from(lines.at(-1) ?? '', 'base64');
  const isKey = lines.length <= 2 && bytes.length === 42 && bytes.toString('latin1', 0, 2) === 'Ed';
  return isKey ? { id: bytes.subarray(2, 10), key: bytes.subarray(10) } : undefined;
}

/** The line that `parseMinisignKey` reads. */
function formatKey({ id, key }: MinisignKey): string {
  return Buffer.concat([Buffer.from('Ed'), id, key]).toString('base64');
}

/** Throws `invalid_input` for a file that is no signature of minisign. */
export function minisignCheck(publicKey: MinisignKey, file: Buffer): SignatureCheck {
  const { isPrehashed, id, signature } = readSignature(publicKey, file);
  if (!id.equals(publicKey.id)) {
    throw wrongSignature(`it was made with the key ${hexId(id)}, the public key is ${hexId(publicKey.id)}`);
  }
  const hash = isPrehashed ? createHash('blake2b512') : startPlain(publicKey.key, signature);
  return {
    update: (bytes) => void hash.update(bytes),
    finish() {
      const digest = hash.digest();
      const isRight = isPrehashed
        ? isSigned(publicKey.key, digest, signature)
        : isPlainSigned(publicKey.key, digest, signature);
      if (!isRight) throw wrongSignature('this key did not make it over this file');
    },
    signer: () => ({ format: 'minisign', key: formatKey(publicKey) }),
  };
}

function readSignature(publicKey: MinisignKey, file: Buffer): MinisignSignature {
  const [, line = '', comment = '', globalLine = ''] = file.toString('utf8').trim().split(/\r?\n/);
  const bytes = Buffer.from(line, 'base64');
  const algorithm = bytes.toString('latin1', 0, 2);
  const trusted = /^trusted comment: (.*)$/.exec(comment)?.[1];
  if (bytes.length !== 74 || !['Ed', 'ED'].includes(algorithm) || trusted === undefined) {
    throw badSignature('it is no signature of minisign, as the public key is: give the .minisig file');
  }
  const signature = bytes.subarray(10);
  const isWhole = isSigned(
    publicKey.key,
    Buffer.concat([signature, Buffer.from(trusted)]),
    Buffer.from(globalLine, 'base64'),
  );
  if (!isWhole && bytes.subarray(2, 10).equals(publicKey.id)) throw wrongSignature('its trusted comment was changed');
  return { isPrehashed: algorithm === 'ED', id: bytes.subarray(2, 10), signature };
}

function isSigned(key: Buffer, message: Buffer, signature: Buffer): boolean {
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), key]);
  return verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature);
}

/** Of the old signatures over the file itself: SHA-512(R, A, file), so that the file need not be in memory (RFC 8032 5.1.7). */
function startPlain(key: Buffer, signature: Buffer): Hash {
  return createHash('sha512').update(signature.subarray(0, 32)).update(key);
}

/** S·B = R + k·A, with k the digest. Every encoding has to be the canonical one. */
function isPlainSigned(key: Buffer, digest: Buffer, signature: Buffer): boolean {
  const { Point } = ed25519;
  const order = Point.Fn.ORDER;
  const s = littleEndian(signature.subarray(32));
  if (s >= order) return false;
  try {
    const [r, a] = [Point.fromBytes(signature.subarray(0, 32)), Point.fromBytes(key)];
    const right = r.add(a.multiplyUnsafe(littleEndian(digest) % order));
    return !a.isSmallOrder() && Point.BASE.multiplyUnsafe(s).equals(right);
  } catch {
    // What is no point on the curve was signed by nobody.
    return false;
  }
}

function littleEndian(bytes: Buffer): bigint {
  return BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex')}`);
}

/** As minisign prints it. */
function hexId(id: Buffer): string {
  return Buffer.from(id.toReversed()).toString('hex').toUpperCase();
}
