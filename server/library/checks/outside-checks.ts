import { isAbsolute } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { parseHttpUrl } from '#proto/http-url.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { percentDecoded } from '../percent-decoded.ts';
import { checksumsOf } from './checksum-list.ts';
import { clearsignedText, isClearsigned, type SignedText } from './openpgp.ts';
import { signatureCheck } from './signature-check.ts';
import { readSmallFile, type SmallFileAccess } from './small-file.ts';
import { type SignatureCheck, type SourceCheck, sumCheck } from './source-check.ts';
import type { Signer, VouchedBy } from './vouched-by.ts';

/** What the publisher of an image says about it. */
export interface OutsideChecks {
  /** Of the source as it is; lower-case hex. */
  readonly sha256?: string;
  /** A list with a sum of the source: absolute path or URL. */
  readonly checksums?: string;
  /** Over the list, or over the source where there is no list: absolute path or URL. */
  readonly signature?: string;
  /** Of whoever signed: minisign, PEM (cosign) or OpenPGP, in base64. */
  readonly publicKey?: string;
}

/** What has to see the source, and what that then says. */
export interface SourceVouching {
  readonly checks: readonly SourceCheck[];
  /** What has vouched for the source; to be asked when all checks have passed. */
  vouchedBy(): readonly VouchedBy[];
}

/**
 * Reads lists, signatures and keys, checks what can be checked by now, and gives what has to see the source. Throws `invalid_input`,
 * `not_found`, `download_failed` or `checksum_mismatch`.
 */
export async function outsideChecks(
  source: string,
  wanted: OutsideChecks,
  access: SmallFileAccess,
): Promise<SourceVouching> {
  const { sha256, checksums } = wanted;
  if (checksums !== undefined && checksums === wanted.signature) throw signedTwice();
  const key = wanted.publicKey === undefined ? undefined : Buffer.from(wanted.publicKey, 'base64');
  const given = sha256 === undefined ? NOTHING : sumOfSource(sha256);
  const signature = await readSignature(wanted.signature, key, access);
  if (checksums !== undefined) {
    const list = { from: checksums, bytes: await readSmallFile(checksums, { what: 'the checksums', ...access }) };
    return both(given, await listedSums(list, { source, signature, key }));
  }
  if (signature !== undefined) return both(given, signed(signature));
  if (key !== undefined) throw keyAlone();
  return given;
}

const NOTHING: SourceVouching = { checks: [], vouchedBy: () => [] };

function sumOfSource(sha256: string): SourceVouching {
  return { checks: [sumCheck('sha256', sha256)], vouchedBy: () => [{ kind: 'sum', of: 'source' }] };
}

function signed({ from, check }: SignatureFile): SourceVouching {
  return { checks: [check], vouchedBy: () => [signedBy(check.signer(), 'source', from)] };
}

function both(first: SourceVouching, second: SourceVouching): SourceVouching {
  return {
    checks: [...first.checks, ...second.checks],
    vouchedBy: () => [...first.vouchedBy(), ...second.vouchedBy()],
  };
}

function signedBy({ format, key }: Signer, of: 'checksums' | 'source', from: string): VouchedBy {
  return { kind: 'signature', of, from: shownPlace(from), format, key };
}

/** A path on this host as it is, a URL without what may be secret. */
function shownPlace(place: string): string {
  const url = isAbsolute(place) ? undefined : parseHttpUrl(place);
  return url === undefined ? place : shownUrl(url);
}

interface SignatureFile {
  /** Where it was read. */
  readonly from: string;
  readonly check: SignatureCheck;
}

async function readSignature(
  from: string | undefined,
  key: Buffer | undefined,
  access: SmallFileAccess,
): Promise<SignatureFile | undefined> {
  if (from === undefined) return undefined;
  if (key !== undefined) {
    const signature = await readSmallFile(from, { what: 'the signature', ...access });
    return { from, check: await signatureCheck({ key, signature }) };
  }
  const fix = 'give it with --public-key';
  throw new TinsmithError('invalid_input', `a signature proves nothing without the public key: ${fix}`);
}

interface ListFile {
  /** Where it was read. */
  readonly from: string;
  readonly bytes: Buffer;
}

async function listedSums(
  { from, bytes }: ListFile,
  { source, signature, key }: { source: string; signature: SignatureFile | undefined; key: Buffer | undefined },
): Promise<SourceVouching> {
  await signature?.check.update(bytes);
  await signature?.check.finish();
  const inside = await trustedText(bytes.toString('utf8'), signature === undefined ? key : undefined);
  const signer = signature?.check.signer() ?? inside.signer;
  const sums = checksumsOf(inside.text, fileNameOf(source), 'the list of checksums');
  return {
    checks: sums.map(({ algorithm, sum }) => sumCheck(algorithm, sum)),
    vouchedBy: () => [
      ...sums.map(({ algorithm }) => ({ kind: 'checksums', from: shownPlace(from), algorithm }) as const),
      ...(signer === undefined ? [] : [signedBy(signer, 'checksums', signature?.from ?? from)]),
    ],
  };
}

/** Of a list that carries its own signature, only what was signed counts. */
async function trustedText(text: string, key: Buffer | undefined): Promise<Partial<SignedText> & { text: string }> {
  if (key === undefined) return { text };
  if (!isClearsigned(text)) throw keyAlone();
  return clearsignedText(text, key);
}

function keyAlone(): TinsmithError {
  const fix = 'name the signature with --signature, or a signed list with --checksums';
  return new TinsmithError('invalid_input', `there is a public key and nothing that is signed: ${fix}`);
}

function signedTwice(): TinsmithError {
  const fix = 'leave out --signature if the list carries its own, or name the file with the signature';
  return new TinsmithError('invalid_input', `the list of checksums and its signature are one file: ${fix}`);
}

function fileNameOf(source: string): string {
  const url = isAbsolute(source) ? null : URL.parse(source);
  if (url !== null && !['http:', 'https:'].includes(url.protocol)) {
    const fix = 'name it with @sha256:… instead';
    throw new TinsmithError('invalid_input', `an OCI reference is no file that a list of checksums could name: ${fix}`);
  }
  const path = url === null ? source : percentDecoded(url.pathname);
  return path.slice(path.lastIndexOf('/') + 1);
}
