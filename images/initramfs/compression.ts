import { PassThrough, type Transform } from 'node:stream';
import { constants, createGzip, createZstdCompress } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';

export type CompressionFormat = 'zstd' | 'gzip' | 'none';

export interface Compression {
  readonly format: CompressionFormat;
  /** zstd: 1 to 22, default 19; gzip: 1 to 9, default 9. Ignored for `none`. */
  readonly level?: number;
}

/**
 * 8 MiB. The kernel needs the window beside the packed and the unpacked archive: 32 MiB would save 1 % and cost 24 MiB of
 * the smallest machine's memory.
 */
const ZSTD_WINDOW_LOG = 23;
const LEVELS = { zstd: { lowest: 1, highest: 22, usual: 19 }, gzip: { lowest: 1, highest: 9, usual: 9 } };

/** Reads `zstd`, `zstd:12`, `gzip`, `none`. @throws TinsmithError `usage` */
export function parseCompression(text: string): Compression {
  const [, format, level] = /^(zstd|gzip|none)(?::(\d{1,2}))?$/.exec(text) ?? [];
  if (format !== 'zstd' && format !== 'gzip' && format !== 'none') {
    throw new TinsmithError(
      'usage',
      `cannot compress with "${text}": give zstd, gzip or none, optionally with a level: zstd:19`,
    );
  }
  const compression: Compression = level === undefined ? { format } : { format, level: Number(level) };
  levelOf(compression);
  return compression;
}

/** A stream that compresses for the kernel; the same input gives the same bytes. Whoever pipes into it ends it. */
export function compressor(compression: Compression): Transform {
  return COMPRESSORS[compression.format](levelOf(compression));
}

const COMPRESSORS: Readonly<Record<CompressionFormat, (level: number) => Transform>> = {
  zstd: (level) =>
    createZstdCompress({
      chunkSize: 1 << 20,
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_windowLog]: ZSTD_WINDOW_LOG,
        [constants.ZSTD_c_checksumFlag]: 1,
      },
    }),
  // Node writes a gzip header without name and time.
  gzip: (level) => createGzip({ level, chunkSize: 1 << 20 }),
  none: () => new PassThrough(),
};

function levelOf({ format, level }: Compression): number {
  if (format === 'none') return 0;
  const { lowest, highest, usual } = LEVELS[format];
  const chosen = level ?? usual;
  if (Number.isInteger(chosen) && chosen >= lowest && chosen <= highest) return chosen;
  throw new TinsmithError(
    'usage',
    `cannot compress with ${format} level ${chosen}: its levels are ${lowest} to ${highest}`,
  );
}
