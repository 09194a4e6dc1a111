import { TinsmithError } from '#proto/errors.ts';

export function badSignature(fact: string, cause?: unknown): TinsmithError {
  return new TinsmithError('invalid_input', `cannot read the signature: ${fact}`, { cause });
}

export function wrongSignature(fact: string): TinsmithError {
  const sentence = `the signature is not right: ${fact}: use the right file, signature and public key`;
  return new TinsmithError('checksum_mismatch', sentence);
}
