import { TinsmithError } from '#proto/errors.ts';

/** For a file that is no signature, or none of a kind that is known. */
export function badSignature(fact: string, cause?: unknown): TinsmithError {
  return new TinsmithError('invalid_input', `cannot read the signature: ${fact}`, { cause });
}

/** For a signature that is one, and not by this key over these bytes. */
export function wrongSignature(fact: string): TinsmithError {
  const sentence = `the signature is not right: ${fact}: use the right file, signature and public key`;
  return new TinsmithError('checksum_mismatch', sentence);
}
