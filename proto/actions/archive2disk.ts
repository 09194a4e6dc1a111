import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  invalidParam,
  optionalBoolean,
  optionalInteger,
  optionalText,
  requiredDevice,
  requiredText,
  requiredUrl,
} from './environment.ts';
import { PROXY_ENVIRONMENT, PROXY_SECRETS, type ProxyParams, parseProxy } from './proxy.ts';
import { parseFileSystem } from './writefile.ts';

/** Unpack a tar archive into a file system. What it is compressed with is seen from its first bytes. */
export interface Archive2diskParams {
  /** http or https. */
  readonly url: string;
  /** Partition. */
  readonly device: string;
  readonly fileSystem: string;
  /** Absolute path of a directory on that file system. */
  readonly path: string;
  /** Absent only where that was asked for. */
  readonly checksum?: TarChecksum;
  /** How long a download may make no headway before the action gives up; 0: as long as the action itself may take. */
  readonly retryForMs: number;
  readonly proxy: ProxyParams;
}

/** Of the whole uncompressed tar file, as `sha256sum` gives it. */
export interface TarChecksum {
  readonly algorithm: 'sha256' | 'sha384' | 'sha512';
  /** Lower case. */
  readonly hex: string;
}

const HEX_DIGITS: Readonly<Record<TarChecksum['algorithm'], number>> = { sha256: 64, sha384: 96, sha512: 128 };

export const archive2disk: ActionDeclaration<Archive2diskParams> = {
  summary: 'Unpack a tar archive (raw, gz, xz, zst, bz2) into a file system, with everything that tar keeps.',
  // What an interrupted try left aside is removed, and what it moved already is replaced again.
  repeatable: true,
  fixes: [
    '`TARFILE_CHECKSUM` is that of the whole tar file, padding too, and proves it before anything is replaced.',
    'Owners, modes, times, extended attributes, hard links and devices are restored; nothing escapes from the target by `..` or links.',
  ],
  environment: {
    ARCHIVE_URL: 'URL of the archive (http or https).',
    ARCHIVE_TYPE: 'tar, targz or the like; checked only, the first bytes of the archive decide.',
    DEST_DISK: 'Partition with the file system, such as /dev/sda2.',
    FS_TYPE: 'Its file system, such as ext4.',
    DEST_PATH: 'Directory on that file system that gets the content; made when it is missing.',
    TARFILE_CHECKSUM: 'sha256:, sha384: or sha512: and the sum of the whole uncompressed tar file in hex.',
    INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION: 'true: the archive may come without TARFILE_CHECKSUM.',
    HTTP_CLIENT_TIMEOUT_MINUTES:
      'Minutes without a single new byte before the download is given up; default 5, 0: no limit.',
    ...PROXY_ENVIRONMENT,
  },
  secrets: PROXY_SECRETS,
  parse: parseArchive2disk,
};

function parseArchive2disk(environment: Environment): Archive2diskParams {
  const type = optionalText(environment, 'ARCHIVE_TYPE')?.trim();
  if (type !== undefined && !/^(tar|t(ar)?\.?(gz|xz|zst|bz2))$/i.test(type)) {
    throw invalidParam('ARCHIVE_TYPE', type, 'use tar or targz');
  }
  const minutes = optionalInteger(environment, 'HTTP_CLIENT_TIMEOUT_MINUTES', { least: 0, most: 100_000 }) ?? 5;
  const checksum = parseChecksum(environment);
  return {
    url: requiredUrl(environment, 'ARCHIVE_URL', 'http://192.168.10.64:8080/rootfs.tar.gz'),
    device: requiredDevice(environment, 'DEST_DISK', '/dev/sda2'),
    fileSystem: parseFileSystem(environment),
    path: parseDirectory(environment),
    ...(checksum === undefined ? {} : { checksum }),
    retryForMs: minutes * 60_000,
    proxy: parseProxy(environment),
  };
}

function parseDirectory(environment: Environment): string {
  const path = requiredText(environment, 'DEST_PATH', '/');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (!path.startsWith('/') || path.includes('\0') || parts.includes('..')) {
    throw invalidParam('DEST_PATH', path, 'use an absolute path without ".." parts');
  }
  return `/${parts.join('/')}`;
}

function parseChecksum(environment: Environment): TarChecksum | undefined {
  const text = optionalText(environment, 'TARFILE_CHECKSUM')?.trim();
  const isWaived = optionalBoolean(environment, 'INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION') === true;
  if (text === undefined) {
    if (isWaived) return undefined;
    const fix = 'set it to sha256:<64 hexadecimal digits>, or INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION=true';
    throw invalidParam('TARFILE_CHECKSUM', undefined, fix);
  }
  const [, name, digits = ''] = /^(sha256|sha384|sha512):([0-9a-f]+)$/i.exec(text) ?? [];
  const algorithm = (['sha256', 'sha384', 'sha512'] as const).find((known) => known === name?.toLowerCase());
  if (algorithm !== undefined && digits.length === HEX_DIGITS[algorithm])
    return { algorithm, hex: digits.toLowerCase() };
  throw invalidParam('TARFILE_CHECKSUM', text, 'use sha256:, sha384: or sha512: and the sum in hexadecimal digits');
}
