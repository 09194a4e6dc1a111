import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  invalidParam,
  optionalBoolean,
  optionalInteger,
  optionalSha256,
  progressIntervalMs,
  requiredDevice,
  requiredText,
  urlGiven,
} from './environment.ts';
import { PROXY_ENVIRONMENT, PROXY_SECRETS, type ProxyParams, parseProxy } from './proxy.ts';

/** Stream an image to a disk. What it is compressed with is seen from its first bytes, so there is no field for that. */
export interface Image2diskParams {
  /** An http or https URL, or an image of the server's library by its name or `sha256-DIGEST`. */
  readonly image: { readonly url: string } | { readonly library: string };
  readonly disk: string;
  /** Of the bytes as the server has them, before decompression. */
  readonly sha256?: string;
  /** Of the disk's content, after decompression. */
  readonly rawSha256?: string;
  /** Whether the whole image is read back from the disk before it is made bootable. */
  readonly verifyDisk: boolean;
  /** How long a download may make no headway before the action gives up; 0: as long as the action itself may take. */
  readonly retryForMs: number;
  readonly progressEveryMs: number;
  readonly proxy: ProxyParams;
}

export const image2disk: ActionDeclaration<Image2diskParams> = {
  summary: 'Stream a raw, gz, xz, zst or bz2 image from a URL to a disk.',
  // Every try starts by making the disk unbootable and ends by making it bootable, so a later try heals an earlier one.
  repeatable: true,
  fixes: [
    'A download that is cut short fails; the published action reports success.',
    'The compression is told by the image’s bytes: query strings, upper case and `.tgz` do no harm, and `COMPRESSED` cannot be wrong.',
    'A `PROGRESS_INTERVAL_SECONDS` of 0 means the default instead of a crash; words that are no number or boolean are refused instead of ignored.',
    'A download that breaks off goes on where it was, not at the first byte.',
    'A raw image with a checksum, whose server gives a strong ETag and a length, is gone on with after a crash, a reboot or a failed try: what is on the disk is read and checked, only the rest is fetched. Without a checksum, or compressed, an image from a URL starts again; one of the library never does.',
    'An image at whose start nothing is known (no partition table, boot sector or file system) is written with a warning in the log; a web page is refused.',
    'It ends when the nodes of the partitions exist; a disk that is mounted or in use is refused.',
  ],
  environment: {
    IMG_URL:
      'URL of the image (http or https), its compression recognised by its first bytes; or library:NAME, an image of the server’s library (Tinsmith).',
    DEST_DISK: 'Disk to overwrite, such as /dev/sda, /dev/nvme0n1 or /dev/disk/by-id/….',
    IMG_SHA256: 'SHA-256 of the file as it is downloaded (Tinsmith).',
    IMG_RAW_SHA256: 'SHA-256 of the image after decompression (Tinsmith).',
    VERIFY_DISK:
      'Whether the whole image is read back from the disk, past the page cache, and compared before the disk is made bootable; default false (Tinsmith).',
    COMPRESSED: 'Accepted and checked to be a boolean; the first bytes of the image decide.',
    RETRY_ENABLED:
      'Accepted and checked to be a boolean; a download is always resumed after a network or server error.',
    RETRY_DURATION_MINUTES:
      'Minutes without a single new byte before the download is given up; default 10, 0: no limit.',
    PROGRESS_INTERVAL_SECONDS: 'Seconds between progress lines in the log; default 3, also for 0.',
    TEXT_LOGGING: 'Accepted; the log has one format.',
    ...PROXY_ENVIRONMENT,
  },
  secrets: PROXY_SECRETS,
  parse: parseImage2disk,
};

function parseImage2disk(environment: Environment): Image2diskParams {
  optionalBoolean(environment, 'COMPRESSED');
  optionalBoolean(environment, 'RETRY_ENABLED');
  const sha256 = optionalSha256(environment, 'IMG_SHA256');
  const rawSha256 = optionalSha256(environment, 'IMG_RAW_SHA256');
  const retryMinutes = optionalInteger(environment, 'RETRY_DURATION_MINUTES', { least: 0, most: 100_000 }) ?? 10;
  return {
    image: parseImage(environment),
    disk: requiredDevice(environment, 'DEST_DISK', '/dev/sda'),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(rawSha256 === undefined ? {} : { rawSha256 }),
    verifyDisk: optionalBoolean(environment, 'VERIFY_DISK') ?? false,
    retryForMs: retryMinutes * 60_000,
    progressEveryMs: progressIntervalMs(environment),
    proxy: parseProxy(environment),
  };
}

function parseImage(environment: Environment): Image2diskParams['image'] {
  const text = requiredText(environment, 'IMG_URL', 'http://192.168.10.64:8080/ubuntu.raw.gz').trim();
  const library = libraryName(text);
  if (library !== undefined) return { library };
  if (text.startsWith('library:')) {
    throw invalidParam(
      'IMG_URL',
      text,
      'name an image of the library (lower-case letters, digits, ., _ and -), such as library:debian-12',
    );
  }
  const url = urlGiven('IMG_URL', text);
  if (url !== undefined) return { url: url.href };
  throw invalidParam('IMG_URL', text, 'use a complete http or https URL, or library:NAME');
}

/** The name in `library:NAME`; undefined: it is something else. */
export function libraryName(text: string): string | undefined {
  return /^library:([a-z0-9][a-z0-9._-]*)$/.exec(text.trim())?.[1];
}
