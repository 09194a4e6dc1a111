import { stretchGpt, writeGpt } from '#agent/write/partition-table.ts';

export const DISK_GUID = '11111111-2222-4333-8444-555555555555';

/**
 * A disk image that compresses well and still has every kind of content: GPT with two partitions, text, zeros, 64 KiB of
 * noise. Always the same bytes.
 */
export function diskImage(options: { sizeBytes?: number; blockBytes?: number } = {}): Buffer {
  const blockBytes = options.blockBytes ?? 512;
  const image = Buffer.alloc(options.sizeBytes ?? 5 * 1024 * 1024);
  for (let at = 1 << 20, i = 0; at < 2 << 20; at += 4096, i++) image.write(`file ${i} of the installed system\n`, at);
  let seed = 12_345;
  for (let at = (4 << 20) - 32_768; at < (4 << 20) + 32_768; at++) {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    image[at] = seed >>> 24;
  }
  image.write('the last bytes of the image', image.length - 64 - 100 * blockBytes);
  const wholeBytes = Math.floor(image.length / blockBytes) * blockBytes;
  const perMiB = (1 << 20) / blockBytes;
  const partition = (firstMiB: number, endMiB: number, name: string): Parameters<typeof writeGpt>[1][number] => ({
    type: '0fc63daf-8483-4772-8e79-3d69d8477de4',
    guid: `aaaaaaaa-bbbb-4ccc-8ddd-${String(firstMiB).padStart(12, '0')}`,
    name,
    firstBlock: firstMiB * perMiB,
    lastBlock: endMiB * perMiB - 1,
  });
  writeGpt(image, [partition(1, 2, 'boot'), partition(2, 4.5, 'root')], { guid: DISK_GUID, blockBytes });
  stretchGpt(image, image.subarray(wholeBytes - (64 << 10), wholeBytes), { sizeBytes: wholeBytes, blockBytes });
  return image;
}
