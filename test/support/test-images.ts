import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const FOLDER = resolve(import.meta.dirname, '../../build/test-os');

export const GIBIBYTE = 2 ** 30;
export type TestImageFormat = 'raw' | 'gz' | 'zst' | 'xz' | 'bz2';

/** Path of the small bootable system that `npm run build -- test-os` makes. Throws when it was not built. */
export function testImage(format: TestImageFormat): string {
  return built(testImage.nameOf(format));
}
testImage.nameOf = (format: TestImageFormat): string => (format === 'raw' ? 'test-os.img' : `test-os.img.${format}`);
testImage.rootPartition = 3;

/** Path of the Bottlerocket-like system with twelve partitions. */
export function bottlerocketImage(): string {
  return built('bottlerocket-like.img.gz');
}

/**
 * Path of the system as tar archives that `npm run build -- archive` makes: all of it, or only its kernel (vmlinuz) and
 * initrd.img. Uncompressed, or as zst.
 */
export function testArchive(part: 'root' | 'boot', ending: 'tar' | 'tar.zst'): string {
  return built(`archive-${part}.${ending}`, 'archive');
}

/** Path of Debian 12 with cloud-init, in the layout of EKS Anywhere's Ubuntu images, that `npm run build -- debian` makes. */
export function debianImage(): string {
  return built('debian-12.img.zst', 'debian');
}

function built(name: string, target = 'test-os'): string {
  const path = join(FOLDER, name);
  if (!existsSync(path)) throw new Error(`${path} is missing: run npm run build -- ${target}`);
  return path;
}
