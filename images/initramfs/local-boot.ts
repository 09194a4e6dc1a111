import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { type FetchOptions, fetchDebianPackages } from '../packages/debian-packages.ts';
import { runProgram } from '../packages/run-program.ts';

/**
 * What the small loader does: find the first disk with a removable-media boot loader (UEFI specification, 3.5.1.1) and run
 * it. Without one it leaves, and the firmware goes on to its next boot device. One command a line, no `if`: that needs GRUB's
 * whole script language, which would make the file four times as large.
 */
const CONFIG = `
search --no-floppy --file --set=root /EFI/BOOT/BOOTX64.EFI
chainloader /EFI/BOOT/BOOTX64.EFI
boot
echo 'tinsmith: no disk of this machine has /EFI/BOOT/BOOTX64.EFI'
sleep 5
exit
`;
const MODULES = [
  'part_gpt',
  'part_msdos',
  'fat',
  'search',
  'search_fs_file',
  'chain',
  'echo',
  'sleep',
  'test',
  'minicmd',
];

/**
 * Makes `localboot.efi`: the iPXE script of a machine that is installed chains to it, because on UEFI firmware an iPXE that
 * just exits leads to minutes of other network boots or into a set-up menu. Needs no root; x86-64 only.
 */
export async function buildLocalBoot(output: string, apt: Omit<FetchOptions, 'names' | 'architecture'>): Promise<void> {
  const names = ['grub-common', 'grub-efi-amd64-bin'];
  const packages = await fetchDebianPackages({ ...apt, architecture: 'amd64', names, withLibraries: true });
  const rootOf = (name: string): string => {
    const found = packages.find((candidate) => candidate.name === name);
    if (found === undefined) throw new TinsmithError('not_found', `cannot make localboot.efi: ${name} was not fetched`);
    return found.root;
  };
  const libraries = packages.flatMap(({ root }) =>
    ['lib', 'usr/lib'].map((lib) => join(root, lib, 'x86_64-linux-gnu')),
  );
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-local-boot-'));
  try {
    const config = join(folder, 'grub.cfg');
    await writeFile(config, CONFIG);
    const program = join(rootOf('grub-common'), 'usr/bin/grub-mkimage');
    const modules = join(rootOf('grub-efi-amd64-bin'), 'usr/lib/grub/x86_64-efi');
    const argv = ['-O', 'x86_64-efi', '-d', modules, '-p', '/EFI/BOOT', '-c', config, '-o', output, ...MODULES];
    await runProgram([program, ...argv], {
      env: { LD_LIBRARY_PATH: libraries.join(':'), PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
