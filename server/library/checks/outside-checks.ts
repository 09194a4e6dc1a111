import { isAbsolute } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { percentDecoded } from '../percent-decoded.ts';
import { checksumsOf } from './checksum-list.ts';
import { clearsignedText, isClearsigned } from './openpgp.ts';
import { signatureCheck } from './signature-check.ts';
import { readSmallFile, type SmallFileAccess } from './small-file.ts';
import { type SourceCheck, sumCheck } from './source-check.ts';

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

/**
 * Reads lists, signatures and keys, checks what can be checked by now, and gives what has to see the source. Throws `invalid_input`,
 * `not_found`, `download_failed` or `checksum_mismatch`.
 */
export async function outsideChecks(
  source: string,
  wanted: OutsideChecks,
  access: SmallFileAccess,
): Promise<readonly SourceCheck[]> {
  const { sha256, checksums } = wanted;
  if (checksums !== undefined && checksums === wanted.signature) throw signedTwice();
  const key = wanted.publicKey === undefined ? undefined : Buffer.from(wanted.publicKey, 'base64');
  const sums = sha256 === undefined ? [] : [sumCheck('sha256', sha256)];
  const signature = await readSignature(wanted.signature, key, access);
  if (checksums !== undefined) {
    const list = await readSmallFile(checksums, { what: 'the checksums', ...access });
    return [...sums, ...(await listedSums(list, { source, signature, key }))];
  }
  if (signature !== undefined) return [...sums, signature];
  if (key !== undefined) throw keyAlone();
  return sums;
}

async function readSignature(
  source: string | undefined,
  key: Buffer | undefined,
  access: SmallFileAccess,
): Promise<SourceCheck | undefined> {
  if (source === undefined) return undefined;
  if (key !== undefined) {
    return signatureCheck({ key, signature: await readSmallFile(source, { what: 'the signature', ...access }) });
  }
  const fix = 'give it with --public-key';
  throw new TinsmithError('invalid_input', `a signature proves nothing without the public key: ${fix}`);
}

async function listedSums(
  list: Buffer,
  { source, signature, key }: { source: string; signature: SourceCheck | undefined; key: Buffer | undefined },
): Promise<readonly SourceCheck[]> {
  await signature?.update(list);
  await signature?.finish();
  const text = await trustedText(list.toString('utf8'), signature === undefined ? key : undefined);
  const sums = checksumsOf(text, fileNameOf(source), 'the list of checksums');
  return sums.map(({ algorithm, sum }) => sumCheck(algorithm, sum));
}

/** Of a list that carries its own signature, only what was signed counts. */
async function trustedText(text: string, key: Buffer | undefined): Promise<string> {
  if (key === undefined) return text;
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
