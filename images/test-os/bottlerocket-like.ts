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

const SIZE_MIB = 320;

/**
 * A system with Bottlerocket's disk layout: twelve GPT partitions, the twelfth (BOTTLEROCKET-PRIVATE, ext4) for what the
 * installer writes. It boots on BIOS and UEFI, brings its network up as /net.toml there says, prints one line `PRIVATE-FILE
 * <name> <bytes> <sha256>` for each of bootconfig.data, user-data.toml and net.toml (`- -` when it is missing), and then
 * `INSTALLED-OS-UP …` as the test system does.
 * @returns the raw image; `.gz` and `.zst` lie beside it.
 * @throws TinsmithError as the packages and programs that it uses do.
 */
export async function buildBottlerocketLike(options: TestSystemOptions): Promise<string> {
  const image = await buildSystem('bottlerocket-like.img', options, async (working, file) => {
    const { kernel, busybox, initrd } = await guestParts(working, options);
    const [boot, root] = [join(working, 'boot'), join(working, 'root')];
    await mkdir(boot);
    await mkdir(root);
    await copyFile(kernel, join(boot, 'vmlinuz'));
    await copyFile(initrd, join(boot, 'initrd'));
    await fillRoot(root, busybox, 'bottlerocket-rc');
    const [config, core, loader] = [join(working, 'grub.cfg'), join(working, 'core.img'), join(working, 'boot.efi')];
    await writeGrubConfig(config, 'BR-BOOT-A', '', 'BOTTLEROCKET-ROOT-A');
    await makeGrub('i386-pc', config, core);
    await makeGrub('x86_64-efi', config, loader);
    const content = (name: string): string => join(working, `${name}.part`);
    await makeEfiPartition(content('efi'), 16, loader);
    await makeExt4(content('boot'), 40, 'BR-BOOT-A', boot);
    await makeExt4(content('root'), 64, 'BR-ROOT-A', root);
    await makeExt4(content('private'), 24, 'BR-PRIVATE');
    const partitions = placePartitions([
      { name: 'BIOS-BOOT', type: 'ef02', sizeMiB: 4 },
      { name: 'EFI-A', type: 'ef00', sizeMiB: 16, content: content('efi') },
      { name: 'BOTTLEROCKET-BOOT-A', type: '8300', sizeMiB: 40, content: content('boot') },
      { name: 'BOTTLEROCKET-ROOT-A', type: '8300', sizeMiB: 64, content: content('root') },
      { name: 'BOTTLEROCKET-HASH-A', type: '8300', sizeMiB: 10 },
      { name: 'BOTTLEROCKET-RESERVED-A', type: '8300', sizeMiB: 30 },
      { name: 'EFI-B', type: '8300', sizeMiB: 16 },
      { name: 'BOTTLEROCKET-BOOT-B', type: '8300', sizeMiB: 40 },
      { name: 'BOTTLEROCKET-ROOT-B', type: '8300', sizeMiB: 40 },
      { name: 'BOTTLEROCKET-HASH-B', type: '8300', sizeMiB: 10 },
      { name: 'BOTTLEROCKET-RESERVED-B', type: '8300', sizeMiB: 16 },
      { name: 'BOTTLEROCKET-PRIVATE', type: '8300', sizeMiB: 24, content: content('private') },
    ]);
    await assemble(file, SIZE_MIB, partitions, core);
  });
  await writeVariants(image, ['gz', 'zst']);
  return image;
}
