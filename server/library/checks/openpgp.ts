import type { Key, Signature, VerifyMessageResult } from 'openpgp';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { badSignature, wrongSignature } from './signature-errors.ts';
import type { SignatureCheck } from './source-check.ts';
import type { Signer } from './vouched-by.ts';

// OpenPGP (RFC 9580) by openpgp.js. It is loaded when it is needed: that takes longer than the whole rest of the server.

/** Checks a detached signature, armored or not, as gpgv does: one of the keys has to have made one of the signatures. */
export async function openpgpCheck(files: {
  readonly key: Buffer;
  readonly signature: Buffer;
}): Promise<SignatureCheck> {
  const openpgp = await import('openpgp');
  const verificationKeys = await readKeys(files.key);
  const signature = await readSignature(files.signature);
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const message = await openpgp.createMessage({ binary: readable });
  const writer = writable.getWriter();
  let signer: Signer | undefined;
  const verified = (async () => {
    const { data, signatures } = await openpgp.verify({ message, signature, verificationKeys, format: 'binary' });
    await drain(data);
    signer = await requireOne(signatures, verificationKeys);
  })();
  // It is thrown by `finish`; who still writes must not wait for a reader that has gone.
  verified.catch((reason: unknown) => writer.abort(reason).catch(() => undefined));
  return {
    // Copied: the library keeps it for a while.
    update: (bytes) => writer.write(new Uint8Array(bytes)),
    async finish() {
      // A reader that has gone says why itself.
      await writer.close().catch(() => undefined);
      await verified;
    },
    signer() {
      if (signer === undefined) throw new TinsmithError('internal', 'a signature was asked for its key before its end');
      return signer;
    },
  };
}

/** A text that carried its signature itself. */
export interface SignedText {
  readonly text: string;
  readonly signer: Signer;
}

/** Whether a text carries its signature itself (RFC 9580 7). */
export function isClearsigned(text: string): boolean {
  return /^-----BEGIN PGP SIGNED MESSAGE-----/m.test(text);
}

/** The text that was signed, and nothing that stands around it, and who signed it. Throws `checksum_mismatch` unless one of the keys signed it. */
export async function clearsignedText(text: string, key: Buffer): Promise<SignedText> {
  const openpgp = await import('openpgp');
  const verificationKeys = await readKeys(key);
  const message = await openpgp
    .readCleartextMessage({ cleartextMessage: text })
    .catch((cause: unknown) => Promise.reject(badSignature('the signed text is damaged', cause)));
  const { data, signatures } = await openpgp.verify({ message, verificationKeys });
  return { text: data, signer: await requireOne(signatures, verificationKeys) };
}

/** The first that one of the keys made. */
async function requireOne(signatures: VerifyMessageResult['signatures'], keys: readonly Key[]): Promise<Signer> {
  const reasons: string[] = [];
  for (const { verified, keyID } of signatures) {
    try {
      await verified;
      // The subkey that signed changes with the years; the primary key's is the fingerprint that is published.
      const [owner] = keys.filter((key) => key.getKeys(keyID).length > 0);
      return { format: 'openpgp', key: (owner?.getFingerprint() ?? keyID.toHex()).toUpperCase() };
    } catch (thrown) {
      reasons.push(messageOf(thrown));
    }
  }
  throw wrongSignature(reasons.join('; ') || 'there is none in it');
}

async function readKeys(key: Buffer): Promise<Key[]> {
  const openpgp = await import('openpgp');
  const text = key.toString('latin1');
  const blocks = text.match(/-----BEGIN PGP PUBLIC KEY BLOCK-----[^]*?-----END PGP PUBLIC KEY BLOCK-----/g);
  try {
    if (blocks === null) return await openpgp.readKeys({ binaryKeys: key });
    return (await Promise.all(blocks.map((armoredKeys) => openpgp.readKeys({ armoredKeys })))).flat();
  } catch (cause) {
    const kinds = 'it is no key of OpenPGP, minisign or cosign (PEM)';
    throw new TinsmithError('invalid_input', `cannot read the public key: ${kinds}`, { cause });
  }
}

async function readSignature(file: Buffer): Promise<Signature> {
  const openpgp = await import('openpgp');
  const text = file.toString('latin1');
  try {
    if (!text.includes('-----BEGIN PGP SIGNATURE-----')) return await openpgp.readSignature({ binarySignature: file });
    return await openpgp.readSignature({ armoredSignature: text });
  } catch (cause) {
    throw badSignature(
      'it is no signature of OpenPGP, as the public key is: give the .gpg, .sig, .sign or .asc file',
      cause,
    );
  }
}

/** Reading the message makes its sum. The library replaces `getReader` alone: other ways of reading find the stream locked. */
async function drain(stream: ReadableStream<unknown> | Uint8Array | string): Promise<void> {
  if (typeof stream === 'string' || stream instanceof Uint8Array) return;
  const reader = stream.getReader();
  for (let isOver = false; !isOver; ) isOver = (await reader.read()).done;
}
