import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { APT_RETRIES } from '../packages/debian-packages.ts';
import { runProgram, tryProgram } from '../packages/run-program.ts';
import { makeEfiPartition, makeGrub, placePartitions } from './disk-image.ts';
import { assemble, buildSystem, type TestSystemOptions } from './guest-system.ts';
import { writeVariants } from './image-variants.ts';

const SUITE = 'bookworm';
const ROOT_MIB = 640;
const EFI_MIB = 16;
const SIZE_MIB = ROOT_MIB + EFI_MIB + 8;
const ROOT_LABEL = 'cloudimg-rootfs';
const ROOT_UUID = '7e571057-0000-4000-8000-0000deb10012';

const PACKAGES = [
  // what starts
  ['linux-image-cloud-amd64', 'initramfs-tools', 'zstd', 'systemd-sysv', 'udev', 'dbus', 'e2fsprogs'],
  // what makes a machine out of an image
  ['cloud-init', 'cloud-guest-utils', 'netplan.io', 'systemd-resolved', 'iproute2', 'openssh-server', 'sudo'],
  ['ca-certificates', 'iputils-ping'],
].flat();

/** Nobody reads manuals on these machines, and they speak English. */
const LEFT_OUT = ['doc', 'man', 'info', 'locale', 'i18n', 'lintian'];

/**
 * Debian 12 as clouds get it, in the layout that EKS Anywhere's Ubuntu images have: partition 1 is the EFI system
 * partition, partition 2 the root file system (ext4), which lies last, so that cloud-init can let it grow; number 14, as in
 * Ubuntu's cloud images, is GRUB's place for BIOS. GRUB on BIOS and UEFI, cloud-init, netplan with systemd-networkd, an
 * SSH server without host keys, a console on ttyS0.
 * @returns the raw image; `.gz` and `.zst` lie beside it.
 * @throws TinsmithError when mmdebstrap fails; it needs root, or user namespaces.
 */
export async function buildDebianImage(options: TestSystemOptions): Promise<string> {
  const image = await buildSystem('debian-12.img', options, async (working, file) => {
    const content = (name: string): string => join(working, name);
    options.log?.(`installing Debian ${SUITE} with cloud-init: takes a minute or two`);
    await installDebian(content('root.ext4'), options);
    // After these lines GRUB goes on with grub.cfg in its prefix, which is the image's own.
    await writeFile(content('grub.cfg'), `search.fs_label ${ROOT_LABEL} root\nset prefix=($root)/boot/grub\n`);
    await makeGrub('i386-pc', content('grub.cfg'), content('core.img'), ['normal']);
    await makeGrub('x86_64-efi', content('grub.cfg'), content('boot.efi'), ['normal']);
    await makeEfiPartition(content('efi.fat'), EFI_MIB, content('boot.efi'));
    const partitions = placePartitions([
      { number: 14, name: 'BIOS-BOOT', type: 'ef02', sizeMiB: 4 },
      { number: 1, name: 'EFI-SYSTEM', type: 'ef00', sizeMiB: EFI_MIB, content: content('efi.fat') },
      { number: 2, name: 'ROOT', type: '8300', sizeMiB: ROOT_MIB, content: content('root.ext4') },
    ]);
    await assemble(file, SIZE_MIB, partitions, content('core.img'));
  });
  await writeVariants(image, ['gz', 'zst']);
  return image;
}

/** Installs packages into a folder of mmdebstrap's own, where `customize` makes a file system of them. */
async function installDebian(rootFile: string, { signal }: TestSystemOptions): Promise<void> {
  const excludes = LEFT_OUT.map((folder) => `--dpkgopt=path-exclude=/usr/share/${folder}/*`);
  const settings = [
    '--variant=apt',
    '--format=null',
    '--skip=cleanup',
    '--quiet',
    '--aptopt=Apt::Install-Recommends "false"',
    `--aptopt=Acquire::Retries "${APT_RETRIES}"`,
    ...excludes,
  ];
  const customize = `--customize-hook=${join(import.meta.dirname, 'debian/customize')}`;
  const env = { ...process.env, ROOT_FILE: rootFile, ROOT_MIB: String(ROOT_MIB), ROOT_LABEL, ROOT_UUID };
  const argv = [...settings, `--include=${PACKAGES.join(',')}`, customize, SUITE, '/dev/null', ...(await sources())];
  await runProgram(['mmdebstrap', ...argv], { env, ...(signal && { signal }) });
}

/** Where this machine gets the same release from: a site may have its own mirror. On other systems, Debian's own address. */
async function sources(): Promise<readonly string[]> {
  const format = ['--format', 'deb $(SITE) $(RELEASE) $(COMPONENT)', 'Created-By: Packages'] as const;
  const { stdout } = await tryProgram(['apt-get', 'indextargets', ...format]);
  const own = stdout.split('\n').filter((line) => new RegExp(` ${SUITE}(?:-updates|-security)? main$`).test(line));
  const site = 'http://deb.debian.org';
  return own.some((line) => line.endsWith(` ${SUITE} main`))
    ? own
    : [`deb ${site}/debian ${SUITE} main`, `deb ${site}/debian-security ${SUITE}-security main`];
}
