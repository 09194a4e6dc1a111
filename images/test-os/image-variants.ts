import { createReadStream, createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { constants, createGzip, createZstdCompress } from 'node:zlib';
import { runProgram } from '../packages/run-program.ts';

/** Names what is made of a raw image beside it: `test-os.img` → `test-os.img.gz`. */
export type ImageVariant = 'gz' | 'zst' | 'xz' | 'bz2';

/** Compresses a raw image into files beside it. A variant replaces an older one when it is complete. */
export async function writeVariants(image: string, variants: readonly ImageVariant[]): Promise<void> {
  for (const variant of variants) {
    const partial = `${image}.${variant}.partial`;
    if (variant === 'gz') await pack(image, createGzip({ level: 6, chunkSize: 1 << 20 }), partial);
    else if (variant === 'zst') {
      const params = { [constants.ZSTD_c_compressionLevel]: 9, [constants.ZSTD_c_checksumFlag]: 1 };
      await pack(image, createZstdCompress({ chunkSize: 1 << 20, params }), partial);
    } else {
      const program = variant === 'xz' ? 'xz -1' : 'bzip2 -1';
      await runProgram(['sh', '-c', `${program} -c <"$1" >"$2"`, 'sh', image, partial]);
    }
    await rename(partial, `${image}.${variant}`);
  }
}

async function pack(image: string, compressor: NodeJS.ReadWriteStream, file: string): Promise<void> {
  await pipeline(createReadStream(image, { highWaterMark: 1 << 20 }), compressor, createWriteStream(file));
}
