import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { crc32 } from 'node:zlib';
import type { ActionName } from '#proto/actions/catalog.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import type { ProgramCall, ProgramResult } from '../machine/machine.ts';
import { stretchGpt, writeGpt, writeMbr } from '../write/partition-table.ts';
import type { Undo } from './action-context.ts';
import { type ActionRunResult, runActionWithPolicy } from './run-action.ts';

const DISK_BYTES = 16 << 20;
const EFI = 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B';
const BIOS = '21686148-6449-6E6F-744E-656564454649';
const LINUX = '0FC63DAF-8483-4772-8E79-3D69D8477DE4';
const GUID = '7E571057-0000-4000-8000-000000000001';
const GRUB = { GRUB_INSTALL_PATH: '/dev/sda2', GRUB_DISK: '/dev/sda', FS_TYPE: 'ext4' };
const SYSLINUX = { DEST_DISK: '/dev/sda', DEST_PARTITION: '/dev/sda2', SYSLINUX_VERSION: '386' };
const CODE = { mbr: Buffer.alloc(440, 'm'), gptmbr: Buffer.alloc(440, 'g') };

let folder: string;
let undos: Undo[];
let answer: (program: ProgramCall) => ProgramResult;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-loaders-'));
  undos = [];
  answer = () => ({ exitCode: 0, lastLines: [] });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function newMachine(firmware: 'bios' | 'uefi', logicalBlockBytes = 512): FolderMachine {
  return folderMachine({
    folder,
    firmware,
    logicalBlockBytes,
    disks: { '/dev/sda': DISK_BYTES },
    bootFiles: { '/usr/lib/syslinux/mbr/mbr.bin': CODE.mbr, '/usr/lib/syslinux/mbr/gptmbr.bin': CODE.gptmbr },
    run: async (program) => answer(program),
  });
}

function perform(
  machine: FolderMachine,
  builtIn: ActionName,
  environment: Record<string, string>,
): Promise<ActionRunResult> {
  return runActionWithPolicy(
    { builtIn, environment, command: [], timeoutMs: 0, retries: 0 },
    {
      machine,
      facts: { hardware: 'node-1', interfaces: [] },
      signal: new AbortController().signal,
      log: () => undefined,
      progress: () => undefined,
      requestPower: () => undefined,
      onTaskFailure: (undo) => undos.push(undo),
    },
  );
}

async function putDisk(machine: FolderMachine, types: readonly string[] | 'mbr'): Promise<void> {
  const disk = Buffer.alloc(DISK_BYTES);
  if (types === 'mbr') {
    writeMbr(disk, [
      { type: 0x0c, isActive: true, firstBlock: 2048, lastBlock: 4095 },
      { type: 0x83, isActive: false, firstBlock: 4096, lastBlock: 8191 },
    ]);
  } else {
    const partitions = types.map((type, index) => {
      const place = { firstBlock: 2048 * (index + 1), lastBlock: 2048 * (index + 2) - 1 };
      return { type, guid: GUID, name: '', ...place };
    });
    writeGpt(disk, partitions, { guid: GUID, blockBytes: 512 });
    stretchGpt(disk.subarray(0, 1 << 20), disk.subarray(-(1 << 20)), { sizeBytes: DISK_BYTES, blockBytes: 512 });
  }
  await mkdir(dirname(machine.diskFile('/dev/sda')), { recursive: true });
  await writeFile(machine.diskFile('/dev/sda'), disk);
}

async function putSystem(machine: FolderMachine, files: readonly string[]): Promise<void> {
  for (const file of files) {
    const place = join(machine.folderOf('/dev/sda2'), file);
    await mkdir(dirname(place), { recursive: true });
    await writeFile(place, file.endsWith('grub.cfg') ? "menuentry 'Linux' {\n\tlinux /boot/vmlinuz-6.1\n}\n" : '');
  }
}

/** The configuration is what the second one would write. */
const PROGRAMS = ['/usr/sbin/grub-install', '/usr/sbin/grub-mkconfig', '/boot/grub/grub.cfg'];
const BOTH = ['/usr/lib/grub/i386-pc/modinfo.sh', '/usr/lib/grub/x86_64-efi/modinfo.sh'];
const onPc = { skip: process.arch !== 'x64' && 'the programs of PCs' };

describe('grub2disk', () => {
  it('installs for BIOS and UEFI what the system has modules and the disk a place for', onPc, async () => {
    const machine = newMachine('uefi');
    await putDisk(machine, [EFI, LINUX, BIOS]);
    await putSystem(machine, [...PROGRAMS, ...BOTH]);

    assert.equal((await perform(machine, 'grub2disk', GRUB)).error, undefined);

    assert.deepEqual(machine.journal, [
      'open /dev/sda',
      'mount /dev/sda2',
      'run chroot /dev/sda2 /usr/sbin/grub-install --target=i386-pc --recheck /dev/sda',
      'run chroot /dev/sda2 /usr/sbin/grub-install --target=x86_64-efi --recheck --efi-directory=/boot/efi --removable --no-nvram',
      'run chroot /dev/sda2 /usr/sbin/grub-mkconfig -o /boot/grub/grub.cfg',
      'unmount /dev/sda2',
    ]);
  });

  it('uses the names of Red Hat, and an MBR without a partition for GRUB', onPc, async () => {
    const machine = newMachine('bios');
    await putDisk(machine, 'mbr');
    const names = ['/usr/sbin/grub2-install', '/usr/sbin/grub2-mkconfig', '/boot/grub2/grub.cfg'];
    await putSystem(machine, [...names, ...BOTH.slice(0, 1)]);

    assert.equal((await perform(machine, 'grub2disk', GRUB)).error, undefined);

    assert.deepEqual(machine.journal.slice(2, 4), [
      'run chroot /dev/sda2 /usr/sbin/grub2-install --target=i386-pc --recheck /dev/sda',
      'run chroot /dev/sda2 /usr/sbin/grub2-mkconfig -o /boot/grub2/grub.cfg',
    ]);
  });

  it('says what the system or the disk lacks for the way this machine starts', onPc, async () => {
    for (const [firmware, types, files, expected] of [
      ['bios', [EFI, LINUX], [...PROGRAMS, ...BOTH], /starts by bios: \/dev\/sda has no BIOS boot partition/],
      ['uefi', [BIOS, LINUX], [...PROGRAMS, ...BOTH], /starts by uefi: \/dev\/sda has no EFI system partition/],
      ['uefi', [EFI, LINUX], [...PROGRAMS, ...BOTH.slice(0, 1)], /no \/usr\/lib\/grub\/x86_64-efi/],
      ['bios', [EFI, LINUX, BIOS], [], /has no grub-install/],
    ] as const) {
      const machine = newMachine(firmware);
      await putDisk(machine, types);
      await rm(machine.folderOf('/dev/sda2'), { recursive: true, force: true });
      await putSystem(machine, files);

      const result = await perform(machine, 'grub2disk', GRUB);

      assert.equal(result.error?.code, 'unsupported');
      assert.match(result.error?.message ?? '', expected);
      assert.ok(machine.journal.every((line) => !line.startsWith('run')));
    }
  });

  it('fails with what grub-install said', onPc, async () => {
    const machine = newMachine('bios');
    await putDisk(machine, 'mbr');
    await putSystem(machine, [...PROGRAMS, ...BOTH]);
    answer = () => ({ exitCode: 1, lastLines: ['error: will not proceed with blocklists.'] });

    const result = await perform(machine, 'grub2disk', GRUB);

    assert.deepEqual([result.error?.code, result.exitCode], ['command_failed', 1]);
    assert.match(result.error?.message ?? '', /will not proceed with blocklists/);
  });

  it('fails when GRUB found no kernel, and takes entries in files of their own', async () => {
    const machine = newMachine('bios');
    await putDisk(machine, 'mbr');
    await putSystem(machine, [...PROGRAMS, ...BOTH]);
    const config = join(machine.folderOf('/dev/sda2'), '/boot/grub/grub.cfg');
    await writeFile(config, 'set default=0\n# linux is not here\n');

    const none = await perform(machine, 'grub2disk', GRUB);
    await writeFile(config, 'insmod blscfg\nblscfg\n');
    const separate = await perform(machine, 'grub2disk', GRUB);

    assert.equal(none.error?.code, 'unsupported');
    assert.match(none.error?.message ?? '', /on \/dev\/sda2 found no kernel to start/);
    assert.equal(separate.error, undefined);
  });

  it('takes the boot loader away again when the rest of the task fails', onPc, async () => {
    const machine = newMachine('uefi');
    await putDisk(machine, [EFI, LINUX, BIOS]);
    await putSystem(machine, [...PROGRAMS, ...BOTH]);
    await perform(machine, 'grub2disk', GRUB);
    const disk = await readFile(machine.diskFile('/dev/sda'));
    await writeFile(machine.diskFile('/dev/sda'), Buffer.concat([Buffer.alloc(440, 'b'), disk.subarray(440)]));

    for (const undo of undos) await undo(new AbortController().signal);

    assert.ok((await readFile(machine.diskFile('/dev/sda'))).equals(disk));
    assert.ok(machine.journal.includes('run chroot /dev/sda2 rm -f /boot/efi/EFI/BOOT/BOOTX64.EFI'));
  });
});

describe('syslinux', () => {
  it('writes boot code into an MBR, keeps its table and makes the partition the active one', async () => {
    const machine = newMachine('bios');
    await putDisk(machine, 'mbr');
    const before = await readFile(machine.diskFile('/dev/sda'));

    assert.equal((await perform(machine, 'syslinux', SYSLINUX)).error, undefined);

    const disk = await readFile(machine.diskFile('/dev/sda'));
    assert.ok(disk.subarray(0, 440).equals(CODE.mbr));
    assert.deepEqual([disk[446], disk[462]], [0, 0x80]);
    assert.ok(disk.subarray(440, 446).equals(before.subarray(440, 446)));
    assert.deepEqual(readPartitionTable(disk, 512), readPartitionTable(before, 512));
    assert.deepEqual(machine.journal, [
      'open /dev/sda',
      'mount /dev/sda2',
      `run extlinux --install ${machine.folderOf('/dev/sda2')}`,
      'unmount /dev/sda2',
      'open /dev/sda',
    ]);
  });

  it('marks the partition in both copies of a GPT, with right checksums', async () => {
    const machine = newMachine('bios');
    await putDisk(machine, [EFI, LINUX]);

    assert.equal((await perform(machine, 'syslinux', SYSLINUX)).error, undefined);

    const disk = await readFile(machine.diskFile('/dev/sda'));
    assert.ok(disk.subarray(0, 440).equals(CODE.gptmbr));
    assert.equal(readPartitionTable(disk, 512)?.kind, 'gpt');
    assert.deepEqual([disk[1024 + 48], disk[1024 + 128 + 48]], [0, 4]);
    assert.ok(disk.subarray(-33 * 512, -512).equals(disk.subarray(1024, 34 * 512)));
    const header = disk.subarray(-512, -512 + 92);
    const sealed = header.readUInt32LE(16);
    header.writeUInt32LE(0, 16);
    assert.equal(crc32(header), sealed);
    assert.equal(crc32(disk.subarray(-33 * 512, -512)), header.readUInt32LE(88));
  });

  it('takes code and mark away again when the rest of the task fails, and leaves the table', async () => {
    for (const types of ['mbr', [EFI, LINUX]] as const) {
      undos = [];
      const machine = newMachine('bios');
      await putDisk(machine, types);
      const table = readPartitionTable(await readFile(machine.diskFile('/dev/sda')), 512);
      assert.equal((await perform(machine, 'syslinux', SYSLINUX)).error, undefined);

      for (const undo of undos) await undo(new AbortController().signal);

      const disk = await readFile(machine.diskFile('/dev/sda'));
      assert.ok(disk.subarray(0, 440).equals(Buffer.alloc(440)));
      assert.deepEqual(readPartitionTable(disk, 512), table);
      if (types === 'mbr') {
        assert.deepEqual([disk[446], disk[462]], [0, 0]);
      } else {
        assert.deepEqual([disk[1024 + 48], disk[1024 + 128 + 48]], [0, 0]);
        assert.ok(disk.subarray(-33 * 512, -512).equals(disk.subarray(1024, 34 * 512)));
        assert.equal(readPartitionTable(disk, 512)?.kind, 'gpt');
      }
    }
  });

  it('leaves a disk alone whose table is gone, but for its boot code', async () => {
    const machine = newMachine('bios');
    await putDisk(machine, 'mbr');
    assert.equal((await perform(machine, 'syslinux', SYSLINUX)).error, undefined);
    await writeFile(machine.diskFile('/dev/sda'), Buffer.alloc(DISK_BYTES, 'x'));

    for (const undo of undos) await undo(new AbortController().signal);

    const disk = await readFile(machine.diskFile('/dev/sda'));
    assert.ok(disk.subarray(0, 440).equals(Buffer.alloc(440)));
    assert.ok(disk.subarray(440).equals(Buffer.alloc(DISK_BYTES - 440, 'x')));
  });

  it('refuses a partition of another disk and blocks that no boot code reads, before anything is done', async () => {
    const other = newMachine('bios');
    await putDisk(other, 'mbr');
    const foreign = await perform(other, 'syslinux', { ...SYSLINUX, DEST_PARTITION: '/dev/sdb2' });
    const fourK = newMachine('bios', 4096);
    await putDisk(fourK, 'mbr');
    const large = await perform(fourK, 'syslinux', SYSLINUX);

    assert.equal(foreign.error?.code, 'device_unfit');
    assert.match(foreign.error?.message ?? '', /start \/dev\/sdb2: that is no partition of it/);
    assert.equal(large.error?.code, 'unsupported');
    assert.match(large.error?.message ?? '', /reads blocks of 512 bytes and the disk has 4096/);
    assert.deepEqual([...other.journal, ...fourK.journal], ['open /dev/sda']);
  });

  it('refuses UEFI, a disk without that partition, and a program that fails', async () => {
    const uefi = await perform(newMachine('uefi'), 'syslinux', SYSLINUX);
    const machine = newMachine('bios');
    await putDisk(machine, 'mbr');
    const missing = await perform(machine, 'syslinux', { ...SYSLINUX, DEST_PARTITION: '/dev/sda3' });
    answer = () => ({ exitCode: 1, lastLines: ['not an ext filesystem'] });
    const failed = await perform(machine, 'syslinux', SYSLINUX);

    assert.deepEqual(
      [uefi, missing, failed].map(({ error }) => error?.code),
      ['unsupported', 'device_unfit', 'command_failed'],
    );
    assert.ok((await readFile(machine.diskFile('/dev/sda'))).subarray(0, 440).equals(Buffer.alloc(440)));
  });
});
