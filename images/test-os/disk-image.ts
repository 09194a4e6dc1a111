/**
 * Makes bootable disk images without root and without loop devices: file systems are made as files and copied to their
 * places. GPT by sgdisk (UEFI specification, chapter 5), boot loaders by grub-mkimage.
 */
import { open, readdir, readFile, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { runProgram } from '../packages/run-program.ts';

export const MIB = 1024 * 1024;
const SECTOR = 512;

export interface PartitionPlan {
  /** GPT name (PARTLABEL). */
  readonly name: string;
  /** sgdisk's code: ef02 BIOS boot, ef00 EFI system, 8300 Linux. */
  readonly type: string;
  readonly sizeMiB: number;
  /** A file that fills the partition from its start; absent: zeros. */
  readonly content?: string;
  /** 1-based, as in /dev/sda1. Absent: its place in the order on the disk. */
  readonly number?: number;
}

export interface PlacedPartition extends PartitionPlan {
  readonly number: number;
  readonly firstSector: number;
}

/** Partitions one after the other, each on a whole MiB, the first one at 1 MiB. */
export function placePartitions(plans: readonly PartitionPlan[]): readonly PlacedPartition[] {
  let nextMiB = 1;
  return plans.map((plan, index) => {
    const firstSector = (nextMiB * MIB) / SECTOR;
    nextMiB += plan.sizeMiB;
    return { number: index + 1, ...plan, firstSector };
  });
}

/** Writes a raw image of `sizeMiB` with the partitions and their contents; zeros stay holes. GUIDs are fixed. */
export async function writeDiskImage(
  file: string,
  sizeMiB: number,
  partitions: readonly PlacedPartition[],
): Promise<void> {
  {
    await using image = await open(file, 'w');
    await image.truncate(sizeMiB * MIB);
  }
  const settings = partitions.flatMap(({ number, name, type, firstSector, sizeMiB: size }) => [
    `--new=${number}:${firstSector}:${firstSector + (size * MIB) / SECTOR - 1}`,
    `--typecode=${number}:${type}`,
    `--change-name=${number}:${name}`,
    `--partition-guid=${number}:${guid(number)}`,
  ]);
  await runProgram(['sgdisk', `--disk-guid=${guid(0)}`, ...settings, file]);
  await using image = await open(file, 'r+');
  for (const { content, firstSector, sizeMiB: size, name } of partitions) {
    if (content === undefined) continue;
    const { size: contentBytes } = await stat(content);
    if (contentBytes > size * MIB) {
      throw new TinsmithError(
        'invalid_input',
        `cannot fill partition ${name} of ${size} MiB: its content has ${contentBytes} bytes`,
      );
    }
    await copySparse(content, image, firstSector * SECTOR);
  }
}

/**
 * Makes the image boot on BIOS: GRUB's first sector into the master boot record, its core into the BIOS boot partition.
 * What grub-install does with block lists, for a core that lies in one piece.
 */
export async function installBiosLoader(file: string, core: string, partition: PlacedPartition): Promise<void> {
  const boot = await readFile('/usr/lib/grub/i386-pc/boot.img');
  const loader = await readFile(core);
  const sectors = Math.ceil(loader.length / SECTOR);
  boot.writeBigUInt64LE(BigInt(partition.firstSector), 0x5c); // kernel_sector: where the core starts
  boot.writeUInt16LE(0x9090, 0x66); // no jump: take the drive that the BIOS names
  loader.writeBigUInt64LE(BigInt(partition.firstSector + 1), 0x1f4); // the first block list entry: the core's rest,
  loader.writeUInt16LE(sectors - 1, 0x1fc); // its length in sectors,
  loader.writeUInt16LE(0x820, 0x1fe); // and the segment where it goes
  await using image = await open(file, 'r+');
  await image.write(boot, 0, 440, 0); // what follows is the disk's signature and its partition table
  await image.write(loader, 0, loader.length, partition.firstSector * SECTOR);
}

/** A GRUB image that runs `config` and nothing else; with the module `normal` it goes on with grub.cfg in its prefix. */
export async function makeGrub(
  format: 'i386-pc' | 'x86_64-efi',
  config: string,
  output: string,
  more: readonly 'normal'[] = [],
): Promise<void> {
  const modules = [
    'part_gpt',
    'ext2',
    'linux',
    'search',
    'search_label',
    ...(format === 'i386-pc' ? ['biosdisk'] : []),
    ...more,
  ];
  await runProgram(['grub-mkimage', '-O', format, '-o', output, '-c', config, '-p', '/boot/grub', ...modules]);
}

/** An EFI system partition that holds one boot loader at the path that firmware tries by itself. */
export async function makeEfiPartition(file: string, sizeMiB: number, loader: string): Promise<void> {
  await using image = await open(file, 'w');
  await image.truncate(sizeMiB * MIB);
  const env = { ...process.env, MTOOLS_SKIP_CHECK: '1' };
  await runProgram(['mformat', '-i', file, '-N', '7e571057', '-v', 'EFI', '::'], { env });
  await runProgram(['mmd', '-i', file, '::/EFI', '::/EFI/BOOT'], { env });
  await utimes(loader, 0, 0);
  await runProgram(['mcopy', '-m', '-i', file, loader, '::/EFI/BOOT/BOOTX64.EFI'], { env });
}

/** An ext4 file system with the content of a folder, whose times all become zero. `label` has at most 16 bytes. */
export async function makeExt4(file: string, sizeMiB: number, label: string, content?: string): Promise<void> {
  if (content !== undefined) await resetTimes(content);
  const uuid = guid(0xe4);
  const shape = ['-q', '-F', '-t', 'ext4', '-b', '4096', '-L', label, '-U', uuid, '-m', '0'];
  const extended = `hash_seed=${uuid},root_owner=0:0,lazy_itable_init=1`;
  const source = content === undefined ? [] : ['-d', content];
  await runProgram(['mke2fs', ...shape, '-E', extended, ...source, file, `${sizeMiB}m`], {
    env: { ...process.env, E2FSPROGS_FAKE_TIME: '1' },
  });
}

async function resetTimes(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) await utimes(join(entry.parentPath, entry.name), 0, 0);
  }
}

async function copySparse(source: string, image: Awaited<ReturnType<typeof open>>, start: number): Promise<void> {
  await using input = await open(source, 'r');
  const zeros = Buffer.alloc(MIB);
  const buffer = Buffer.alloc(MIB);
  for (let at = 0; ; ) {
    const { bytesRead } = await input.read(buffer, 0, MIB, at);
    if (bytesRead === 0) return;
    const bytes = buffer.subarray(0, bytesRead);
    if (!bytes.equals(zeros.subarray(0, bytesRead))) await image.write(bytes, 0, bytesRead, start + at);
    at += bytesRead;
  }
}

/** The same on every build: what boots must not depend on when it was made. */
function guid(number: number): string {
  return `7e571057-0000-4000-8000-${number.toString(16).padStart(12, '0')}`;
}
