import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  invalidParam,
  optionalBoolean,
  optionalText,
  requiredDevice,
  requiredText,
  requiredUrl,
} from './environment.ts';

/** Send what is on a disk to a server. */
export interface SlurpParams {
  readonly disk: string;
  readonly url: string;
  /** What the server is to call the file. */
  readonly name: string;
  readonly compression: 'none' | 'gzip' | 'zstd';
}

/** Of the multipart form that is sent: the file as the published action calls it, and what ours says of it at the end. */
export const SLURP_FIELDS = { file: 'BootyImage', sha256: 'sha256' } as const;

/** A file's name that means the same on every server. */
export const SLURP_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

export const slurp: ActionDeclaration<SlurpParams> = {
  summary: 'Read a disk and send it to a server, such as this one.',
  // Only reads; a server replaces what an earlier try sent.
  repeatable: true,
  environment: {
    SOURCE_DISK: 'Disk or partition to read, such as /dev/sda; nothing of it may be in use.',
    DEST_URL: 'Where to send it by POST (multipart/form-data); http://<server>:7171/slurp is Tinsmith itself.',
    IMG_NAME: 'Name of the file on the server.',
    COMPRESSED: 'true: compressed with gzip.',
    COMPRESSION: 'gzip, zstd or none; instead of COMPRESSED (Tinsmith).',
  },
  parse: parseSlurp,
};

function parseSlurp(environment: Environment): SlurpParams {
  const name = requiredText(environment, 'IMG_NAME', 'debian.raw.gz').trim();
  if (!SLURP_NAME.test(name)) {
    throw invalidParam('IMG_NAME', name, 'use letters, digits, ".", "_" and "-", and no path');
  }
  return {
    disk: requiredDevice(environment, 'SOURCE_DISK', '/dev/sda'),
    url: requiredUrl(environment, 'DEST_URL', 'http://192.168.10.64:7171/slurp'),
    name,
    compression: parseCompression(environment),
  };
}

function parseCompression(environment: Environment): SlurpParams['compression'] {
  const isCompressed = optionalBoolean(environment, 'COMPRESSED') ?? false;
  const text = optionalText(environment, 'COMPRESSION')?.trim();
  if (text === undefined) return isCompressed ? 'gzip' : 'none';
  if (text === 'gzip' || text === 'zstd' || text === 'none') return text;
  throw invalidParam('COMPRESSION', text, 'use gzip, zstd or none');
}
