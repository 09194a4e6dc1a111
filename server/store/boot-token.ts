import { createHash, randomBytes } from 'node:crypto';

/** What a boot script gives to its machine: shown once at enrollment. Only the hash is ever stored. */
export interface MintedBootToken {
  /** 256 random bits, base64url: 43 characters. A secret. */
  readonly token: string;
  /** SHA-256 of the token, lower-case hex. */
  readonly hash: string;
}

export function mintBootToken(): MintedBootToken {
  const token = randomBytes(32).toString('base64url');
  return { token, hash: hashBootToken(token) };
}

/**
 * SHA-256 of a token as it was shown. Looking tokens up by this hash takes the same time whatever was guessed: what the
 * time of a comparison could tell is about the hash, which does not lead back to a token of 256 random bits.
 */
export function hashBootToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
