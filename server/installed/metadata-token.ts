import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

// The session token of EC2's IMDSv2: asked for by PUT, good for one machine until its end.

/** As on EC2: six hours. */
export const LONGEST_TOKEN_SECONDS = 21_600;

/** Whom a token is for: the machine, at the address it asks from. */
export interface TokenHolder {
  readonly hardware: string;
  readonly address: string;
}

export interface MetadataTokens {
  issue(holder: TokenHolder, seconds: number): string;
  accepts(token: string, holder: TokenHolder): boolean;
}

/**
 * Nothing is stored: a token is its end and a MAC over that and its holder, under a key of this process. After a restart of the
 * server clients get a 401 and ask for a new one, as they do when one has ended.
 */
export function metadataTokens(clock: () => Date): MetadataTokens {
  const key = randomBytes(32);
  const seal = (end: Buffer, { hardware, address }: TokenHolder): Buffer =>
    createHmac('sha256', key)
      .update(end)
      .update(JSON.stringify([hardware, address]))
      .digest();
  return {
    issue(holder, seconds) {
      const end = Buffer.alloc(END_BYTES);
      end.writeBigUInt64BE(BigInt(clock().getTime() + seconds * 1000));
      return Buffer.concat([end, seal(end, holder)]).toString('base64url');
    },
    accepts(token, holder) {
      const bytes = Buffer.from(token.slice(0, LONGEST_TEXT), 'base64url');
      if (bytes.length !== END_BYTES + SEAL_BYTES) return false;
      const end = bytes.subarray(0, END_BYTES);
      const isOurs = timingSafeEqual(bytes.subarray(END_BYTES), seal(end, holder));
      return isOurs && end.readBigUInt64BE() > BigInt(clock().getTime());
    },
  };
}

const END_BYTES = 8;
const SEAL_BYTES = 32;
const LONGEST_TEXT = 128;
