import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { messageOf, TinsmithError } from '#proto/errors.ts';

/** Encrypts what must not be readable in the database file or its backups. */
export interface SecretBox {
  /** `purpose` names the record and field; a text sealed for one cannot be opened as another. */
  seal(purpose: string, text: string): string;
  /** Throws `internal` if the text was changed, was sealed for another purpose or with another key. */
  open(purpose: string, sealed: string): string;
}

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** First piece of a sealed text, so that another cipher can be told apart later. */
const FORMAT = 'v1';

/** AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce for each text. */
export function secretBox(key: Buffer): SecretBox {
  return {
    seal(purpose, text) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(purpose));
      const bytes = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
      return `${FORMAT}:${bytes.toString('base64')}`;
    },
    open(purpose, sealed) {
      try {
        const bytes = Buffer.from(sealed.startsWith(`${FORMAT}:`) ? sealed.slice(FORMAT.length + 1) : '', 'base64');
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        });
        decipher.setAAD(Buffer.from(purpose));
        decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
        const text = decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES));
        return Buffer.concat([text, decipher.final()]).toString('utf8');
      } catch (cause) {
        throw new TinsmithError(
          'internal',
          `cannot decrypt ${purpose}: its text was changed or belongs to another key`,
          { cause },
        );
      }
    },
  };
}

/** A key that lives as long as the process: for databases in memory. */
export function temporaryKey(): Buffer {
  return randomBytes(KEY_BYTES);
}

/**
 * Reads the key file; makes it (mode 0600, on the disk before this returns) if it does not exist. Throws `invalid_input` if
 * others may read it or it is no key.
 */
export function readOrMakeKey(path: string): Buffer {
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) makeKey(path);
    if ((statSync(path).mode & 0o077) !== 0) {
      throw new TinsmithError('invalid_input', `the key file ${path} can be read by other users: chmod 600 ${path}`);
    }
    const key = Buffer.from(readFileSync(path, 'latin1').trim(), 'hex');
    if (key.length !== KEY_BYTES) {
      throw new TinsmithError(
        'invalid_input',
        `the key file ${path} does not hold ${KEY_BYTES} bytes in hex: restore it`,
      );
    }
    return key;
  } catch (thrown) {
    if (thrown instanceof TinsmithError) throw thrown;
    const fact = messageOf(thrown);
    throw new TinsmithError('unavailable', `cannot read or make the key file ${path}: ${fact}`, { cause: thrown });
  }
}

/** Written aside and linked into place: after a power cut there is a whole key or none, and a key is never replaced. */
function makeKey(path: string): void {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  const file = openSync(aside, 'wx', 0o600);
  try {
    writeSync(file, `${temporaryKey().toString('hex')}\n`);
    fsyncSync(file);
    linkSync(aside, path);
  } finally {
    closeSync(file);
    unlinkSync(aside);
  }
  syncFolderOf(path);
}

function syncFolderOf(path: string): void {
  const folder = openSync(path.includes('/') ? path.slice(0, path.lastIndexOf('/')) || '/' : '.', 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
