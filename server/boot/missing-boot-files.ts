import { openInside } from './open-inside.ts';

/** A file that machines will ask for and that is in none of the boot folders. */
export interface MissingBootFile {
  readonly file: string;
  /** What the operator does about it. */
  readonly fix: string;
}

const INITRAMFS_FIX = 'tinsmith initramfs build --out DIR makes it; DIR is the boot folder (--boot-dir)';
const IPXE_FIX = 'the package ipxe of your distribution has it; --boot-ipxe-dir names its folder';

const WANTED: readonly MissingBootFile[] = [
  { file: 'vmlinuz', fix: INITRAMFS_FIX },
  { file: 'initramfs', fix: INITRAMFS_FIX },
  { file: 'undionly.kpxe', fix: IPXE_FIX },
  { file: 'snponly.efi', fix: IPXE_FIX },
];

/**
 * What x64 machines need and what is not there. The server starts nevertheless: the files may come later, and what is
 * read is what is there when a machine asks.
 */
export async function missingBootFiles(folders: readonly string[]): Promise<readonly MissingBootFile[]> {
  const missing: MissingBootFile[] = [];
  for (const wanted of WANTED) {
    await using file = await openInside(folders, wanted.file);
    if (file === undefined) missing.push(wanted);
  }
  return missing;
}
