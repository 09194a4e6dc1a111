import { createHash } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import type { Signer } from './vouched-by.ts';

/** Sees the whole source as it streams by, once. */
export interface SourceCheck {
  update(bytes: Uint8Array): void | Promise<void>;
  /** Throws unless it was the right source. */
  finish(): void | Promise<void>;
}

/** Checks a signature. */
export interface SignatureCheck extends SourceCheck {
  /** Who made it; known once `finish` has passed. */
  signer(): Signer;
}

/** `expected`: lower-case hex. */
export function sumCheck(algorithm: 'sha256' | 'sha512', expected: string): SourceCheck {
  const hash = createHash(algorithm);
  return {
    update: (bytes) => void hash.update(bytes),
    finish() {
      const found = hash.digest('hex');
      if (found === expected) return;
      const name = algorithm === 'sha256' ? 'SHA-256' : 'SHA-512';
      const sentence = `the source has the ${name} ${found}, expected was ${expected}: use the right file or the right sum`;
      throw new TinsmithError('checksum_mismatch', sentence);
    },
  };
}

/** The SHA-256 of a source, known once all of it has streamed by. */
export class SourceSum {
  sha256: string | undefined;
  #hash = createHash('sha256');

  /** It streams from its first byte. */
  begin(): void {
    this.#hash = createHash('sha256');
  }

  update(bytes: Uint8Array): void {
    this.#hash.update(bytes);
  }

  finish(): void {
    this.sha256 = this.#hash.digest('hex');
  }
}
