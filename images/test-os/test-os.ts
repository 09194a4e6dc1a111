import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { makeEfiPartition, makeExt4, makeGrub, placePartitions } from './disk-image.ts';
import {
  assemble,
  buildSystem,
  fillRoot,
  guestParts,
  type TestSystemOptions,
  writeGrubConfig,
} from './guest-system.ts';
import { writeVariants } from './image-variants.ts';

const SIZE_MIB = 256;
const ROOT_MIB = 220;

/**
 * A small system that boots from disk on BIOS and UEFI and says so: a line `INSTALLED-OS-UP hostname=… address=…
 * instance=…` on the serial console, then a root shell there. Three partitions; the third is the root (ext4).
 * It reads what templates write: /etc/hostname, /etc/netplan/*.yaml, /etc/tinsmith-metadata (the base URL of the metadata
 * service) or the metadata_urls in /etc/cloud/cloud.cfg.d.
 * @returns the raw image; `.gz`, `.zst`, `.xz` and `.bz2` lie beside it.
 * @throws TinsmithError as the packages and programs that it uses do.
 */
export async function buildTestOs(options: TestSystemOptions): Promise<string> {
  const image = await buildSystem('test-os.img', options, async (working, file) => {
    const { kernel, busybox, initrd } = await guestParts(working, options);
    const root = join(working, 'root');
    await mkdir(root);
    await fillRoot(root, busybox, 'rc');
    await copyFile(kernel, join(root, 'boot/vmlinuz'));
    await copyFile(initrd, join(root, 'boot/initrd'));
    const [config, core, loader] = [join(working, 'grub.cfg'), join(working, 'core.img'), join(working, 'boot.efi')];
    await writeGrubConfig(config, 'TINSMITH-ROOT', '/boot', 'TINSMITH-ROOT');
    await makeGrub('i386-pc', config, core);
    await makeGrub('x86_64-efi', config, loader);
    const [efi, ext4] = [join(working, 'efi.fat'), join(working, 'root.ext4')];
    await makeEfiPartition(efi, 16, loader);
    await makeExt4(ext4, ROOT_MIB, 'TINSMITH-ROOT', root);
    const partitions = placePartitions([
      { name: 'BIOS-BOOT', type: 'ef02', sizeMiB: 1 },
      { name: 'EFI-SYSTEM', type: 'ef00', sizeMiB: 16, content: efi },
      { name: 'TINSMITH-ROOT', type: '8300', sizeMiB: ROOT_MIB, content: ext4 },
    ]);
    await assemble(file, SIZE_MIB, partitions, core);
  });
  await writeVariants(image, ['gz', 'zst', 'xz', 'bz2']);
  return image;
}
