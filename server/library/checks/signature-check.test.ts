import assert from 'node:assert/strict';
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { clearsignedText } from './openpgp.ts';
import { signatureCheck } from './signature-check.ts';

const FOLDER = join(import.meta.dirname, '../../../test/fixtures/signatures');
const FILE = randomBytes(3_000_000);

function fixture(name: string): Buffer {
  return readFileSync(join(FOLDER, name));
}

/** Streams `file` by in pieces whose memory is used again. Resolves to the key that signed. */
async function check(key: Buffer | string, signature: Buffer | string, file: Buffer): Promise<string> {
  const made = await signatureCheck({ key: Buffer.from(key), signature: Buffer.from(signature) });
  const piece = Buffer.alloc(70_000);
  for (let at = 0; at < file.length; at += piece.length) {
    const bytes = file.copy(piece, 0, at);
    await made.update(piece.subarray(0, bytes));
  }
  await made.finish();
  return made.signer().key;
}

/** `file` with one bit changed. */
function changed(file: Buffer): Buffer {
  const copy = Buffer.from(file);
  copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 1;
  return copy;
}

interface Minisign {
  readonly key: string;
  readonly signature: string;
}

function minisign(
  file: Buffer,
  { isPrehashed = true, comment = 'a comment', pair = generateKeyPairSync('ed25519') } = {},
): Minisign {
  const id = Buffer.from('0123456789abcdef', 'hex');
  const raw = pair.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
  const signed = sign(null, isPrehashed ? createHash('blake2b512').update(file).digest() : file, pair.privateKey);
  const line = Buffer.concat([Buffer.from(isPrehashed ? 'ED' : 'Ed'), id, signed]).toString('base64');
  const whole = sign(null, Buffer.concat([signed, Buffer.from(comment)]), pair.privateKey).toString('base64');
  return {
    key: `untrusted comment: minisign public key\n${Buffer.concat([Buffer.from('Ed'), id, raw]).toString('base64')}\n`,
    signature: `untrusted comment: x\n${line}\ntrusted comment: ${comment}\n${whole}\n`,
  };
}

function cosign(
  file: Buffer,
  curve = 'P-256',
): { readonly key: Buffer; readonly signature: string; readonly der: Buffer } {
  const { publicKey, privateKey }: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync('ec', {
    namedCurve: curve,
  });
  const der = sign('sha256', file, privateKey);
  return {
    key: Buffer.from(publicKey.export({ type: 'spki', format: 'pem' })),
    signature: der.toString('base64'),
    der,
  };
}

describe('a signature of minisign', () => {
  it('is checked as the program itself made it, plain and prehashed', async () => {
    const key = 'RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3';
    const plain = `untrusted comment: signature from minisign secret key
RWQf6LRCGA9i59SLOFxz6NxvASXDJeRtuZykwQepbDEGt87ig1BNpWaVWuNrm73YiIiJbq71Wi+dP9eKL8OC351vwIasSSbXxwA=
trusted comment: timestamp:1555779966\tfile:test
QtKMXWyYcwdpZAlPF7tE2ENJkRd1ujvKjlj1m9RtHTBnZPa5WKU5uWRs5GoP5M/VqE81QFuMKI5k/SfNQUaOAA==`;
    const prehashed = `untrusted comment: signature from minisign secret key
RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=
trusted comment: timestamp:1556193335\tfile:test
y/rUw2y8/hOUYjZU71eHp/Wo1KZ40fGy2VJEDl34XMJM+TX48Ss/17u3IvIfbVR1FkZZSNCisQbuQY+bHwhEBg==`;

    for (const signature of [plain, prehashed]) {
      assert.equal(await check(key, signature, Buffer.from('test')), key);
      await assert.rejects(check(key, signature, Buffer.from('tess')), { code: 'checksum_mismatch' });
    }
  });

  it('is checked over a long file', async () => {
    for (const isPrehashed of [true, false]) {
      const { key, signature } = minisign(FILE, { isPrehashed });
      await check(key, signature, FILE);
      await assert.rejects(check(key, signature, changed(FILE)), {
        code: 'checksum_mismatch',
        message: /over this file/,
      });
    }
  });

  it('is refused by another key, with another comment, or with a number that is too large', async () => {
    const { key, signature } = minisign(FILE, { isPrehashed: false });
    const other = minisign(FILE);

    await assert.rejects(check(other.key, signature, FILE), { code: 'checksum_mismatch' });
    await assert.rejects(check(key, signature.replace('a comment', 'b comment'), FILE), /trusted comment was changed/);
    const foreign = other.key.replace(/\n(.*)\n/, (_, line: string) => {
      const bytes = Buffer.from(line, 'base64');
      bytes[3] = 0;
      return `\n${bytes.toString('base64')}\n`;
    });
    await assert.rejects(check(foreign, other.signature, FILE), /made with the key EFCDAB8967452301/);
    await assert.rejects(check(key, 'nonsense', FILE), { code: 'invalid_input', message: /\.minisig/ });
  });
});

describe('a signature of cosign', () => {
  it('is checked in base64 and as it is', async () => {
    const { key, signature, der } = cosign(FILE);

    const fingerprint = createHash('sha256')
      .update(createPublicKey(key).export({ type: 'spki', format: 'der' }))
      .digest('hex');
    assert.equal(await check(key, `${signature}\n`, FILE), fingerprint);
    await check(key, der, FILE);
    await assert.rejects(check(key, signature, changed(FILE)), { code: 'checksum_mismatch' });
    await assert.rejects(check(cosign(FILE).key, signature, FILE), { code: 'checksum_mismatch' });
    await assert.rejects(check(key, 'nonsense', FILE), { code: 'invalid_input', message: /sign-blob/ });
  });

  it('may be in a bundle, the new one or the old one, if a key made it', async () => {
    const { key, signature } = cosign(FILE);
    const digest = createHash('sha256').update(FILE).digest('base64');
    const material = { publicKey: { hint: 'x' }, tlogEntries: [] };
    const bundle = (change: object = {}): string =>
      JSON.stringify({
        mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
        verificationMaterial: material,
        messageSignature: { messageDigest: { algorithm: 'SHA2_256', digest }, signature },
        ...change,
      });
    const old = (change: object = {}): string => JSON.stringify({ base64Signature: signature, cert: '', ...change });

    for (const file of [
      bundle(),
      bundle({ mediaType: 'application/vnd.dev.sigstore.bundle+json;version=0.2' }),
      old(),
      old({ cert: key.toString('base64'), rekorBundle: { SignedEntryTimestamp: 'x' } }),
    ]) {
      await check(key, file, FILE);
      // What a bundle says of its own message's digest proves nothing.
      await assert.rejects(check(key, file, changed(FILE)), { code: 'checksum_mismatch' });
      await assert.rejects(check(cosign(FILE).key, file, FILE), { code: 'checksum_mismatch' });
    }
    const certificate = Buffer.from('-----BEGIN CERTIFICATE-----').toString('base64');
    for (const [file, message] of [
      [bundle({ verificationMaterial: { certificate: { rawBytes: 'MAo=' } } }), /keyless/],
      [old({ cert: certificate }), /keyless/],
      [bundle({ messageSignature: undefined, dsseEnvelope: {} }), /attestation/],
      [bundle({ mediaType: 'application/vnd.dev.sigstore.bundle.v9+json' }), /bundle of the kind/],
      [bundle({ messageSignature: { signature: 7 } }), /no base64/],
      ['{"a":1}', /no bundle/],
      ['{"a"', /no JSON/],
    ] as const) {
      await assert.rejects(check(key, file, FILE), { code: 'invalid_input', message });
    }
  });

  it('is not checked with a key of another kind', async () => {
    const { key, signature } = cosign(FILE, 'P-384');

    await assert.rejects(check(key, signature, FILE), { code: 'invalid_input', message: /secp384r1/ });
    const damaged = '-----BEGIN PUBLIC KEY-----\nMFk\n-----END PUBLIC KEY-----\n';
    await assert.rejects(check(damaged, signature, FILE), { code: 'invalid_input', message: /PEM is damaged/ });
  });
});

describe('a signature of OpenPGP', () => {
  const list = fixture('SHA256SUMS');
  // As `gpg --show-keys` prints them.
  const RELEASE = '756C6362D433A1F944102B7120D0B721F6887188';
  const OTHER = '085C5007A08CC6E9ED4872045FAB67D90679E488';

  it('is checked detached, binary or armored, by one of several keys', async () => {
    const both = Buffer.concat([fixture('other.asc'), fixture('release.asc')]);
    assert.equal(await check(fixture('release.gpg'), fixture('SHA256SUMS.gpg'), list), RELEASE);
    assert.equal(await check(fixture('release.asc'), fixture('SHA256SUMS.sign'), list), RELEASE);
    assert.equal(await check(both, fixture('SHA256SUMS.gpg'), list), RELEASE);
    assert.equal(await check(fixture('other.asc'), fixture('SHA256SUMS.two'), list), OTHER);
  });

  it('is refused over another file, by another key, and where it is none', async () => {
    const key = fixture('release.gpg');

    await assert.rejects(check(key, fixture('SHA256SUMS.gpg'), changed(list)), { code: 'checksum_mismatch' });
    await assert.rejects(check(key, fixture('SHA256SUMS.gpg'), FILE), { code: 'checksum_mismatch' });
    await assert.rejects(check(fixture('other.asc'), fixture('SHA256SUMS.sign'), list), { code: 'checksum_mismatch' });
    await assert.rejects(check(key, 'nonsense', list), { code: 'invalid_input', message: /no signature of OpenPGP/ });
    await assert.rejects(check('nonsense', fixture('SHA256SUMS.gpg'), list), {
      code: 'invalid_input',
      message: /no key of OpenPGP, minisign or cosign/,
    });
  });

  it('may be in the text that it signs: nothing around it counts', async () => {
    const text = fixture('SHA256SUMS.asc').toString();
    const key = fixture('release.asc');

    const signed = await clearsignedText(`${'0'.repeat(64)}  disk.img\n\n${text}\n${'1'.repeat(64)}  disk.img\n`, key);

    assert.equal(signed.text.trim(), list.toString().trim());
    assert.equal(signed.signer.key, RELEASE);
    await assert.rejects(clearsignedText(text.replace('disk.img', 'disc.img'), key), { code: 'checksum_mismatch' });
    await assert.rejects(clearsignedText(text, fixture('other.asc')), { code: 'checksum_mismatch' });
  });
});
