import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { actionContext } from '#test/support/action-context.ts';
import { readPartitionTable } from '#transfer/partition-table.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import type { ProgramCall, ProgramResult } from '../machine/machine.ts';
import { type ActionRunResult, runActionWithPolicy } from './run-action.ts';

const MIB = 1 << 20;

let folder: string;
let machine: FolderMachine;
let answer: (program: ProgramCall) => Promise<ProgramResult>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-rootio-'));
  answer = async () => ({ exitCode: 0, lastLines: [] });
  machine = folderMachine({ folder, disks: { '/dev/sda': 16 * MIB }, run: (program) => answer(program) });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function rootio(step: string, environment: Record<string, string>, on = machine): Promise<ActionRunResult> {
  return runActionWithPolicy(
    { builtIn: 'rootio', environment, command: [step], timeoutMs: 0, retries: 0 },
    actionContext(on),
  );
}

describe('rootio', () => {
  const disks = [
    {
      device: '/dev/sda',
      partitions: [
        { label: 'BIOS', number: 1, size: 4096 },
        { label: 'ROOT', number: 2, size: 0 },
      ],
    },
  ];
  const filesystems = [
    { mount: { device: '/dev/sda2', format: 'ext4', point: '/', create: { options: ['-L', 'ROOT'] } } },
  ];
  const METADATA = JSON.stringify({ storage: { disks, filesystems } });

  it('makes a GPT that uses the whole disk, the same at both ends', async () => {
    const result = await rootio('partition', { METADATA });

    assert.equal(result.error, undefined);
    const disk = await readFile(machine.diskFile('/dev/sda'));
    const table = readPartitionTable(disk.subarray(0, MIB), 512);
    assert.deepEqual(table?.partitions, [
      { number: 1, firstBlock: 2048, lastBlock: 6143 },
      { number: 2, firstBlock: 6144, lastBlock: 16 * 2048 - 34 },
    ]);
    assert.ok(disk.subarray(-33 * 512, -512).equals(disk.subarray(1024, 34 * 512)));
    assert.equal(machine.journal.at(-1), 'reread /dev/sda 1,2');
  });

  it('makes an MBR when asked, and refuses what does not fit', async () => {
    await rootio('partition', { METADATA, MBR: 'true' });
    const large = METADATA.replace('4096', '400000');
    const tooLarge = await rootio('partition', { METADATA: large });

    const disk = await readFile(machine.diskFile('/dev/sda'));
    assert.equal(readPartitionTable(disk.subarray(0, MIB), 512)?.kind, 'mbr');
    assert.equal(tooLarge.error?.code, 'device_unfit');
  });

  it('keeps sizes in units of 512 bytes and whole blocks on a disk with blocks of 4096', async () => {
    const large = folderMachine({ folder, disks: { '/dev/sdb': 16 * MIB }, logicalBlockBytes: 4096 });
    const partitions = [
      { label: 'EFI', number: 1, size: 2048 },
      { label: 'LVM', number: 2, size: 4097 },
      { label: 'RAID', number: 3, size: 0 },
    ];
    const document = JSON.stringify({ storage: { disks: [{ device: '/dev/sdb', partitions }] } });

    const result = await rootio('partition', { METADATA: document }, large);

    assert.equal(result.error, undefined);
    const head = (await readFile(large.diskFile('/dev/sdb'))).subarray(0, MIB);
    assert.deepEqual(readPartitionTable(head, 4096)?.partitions, [
      { number: 1, firstBlock: 256, lastBlock: 511 },
      { number: 2, firstBlock: 512, lastBlock: 1023 },
      { number: 3, firstBlock: 1024, lastBlock: 16 * 256 - 6 },
    ]);
    const types = [0, 1, 2].map((i) => head.toString('hex', 8192 + i * 128, 8192 + i * 128 + 4));
    assert.deepEqual(types, ['28732ac1', '79d3d6e6', '0f889da1']);
  });

  it('makes volume groups after the partitions, from nothing, and says which program failed', async () => {
    const group = {
      name: 'vg0',
      physical_volumes: ['/dev/sda2'],
      tags: ['site-a'],
      logical_volumes: [
        { name: 'root', size: 8_388_608, opts: ['--type', 'linear'] },
        { name: 'data', size: 0 },
      ],
    };
    const document = JSON.stringify({ metadata: { instance: { storage: { disks, volume_groups: [group] } } } });
    await mkdir(join(folder, 'dev/vg0'), { recursive: true });
    for (const name of ['root', 'data']) await writeFile(machine.diskFile(`/dev/vg0/${name}`), '');

    const made = await rootio('partition', { METADATA: document });
    const programs = machine.journal.filter((line) => line.startsWith('run'));
    answer = async ({ argv }) => ({ exitCode: argv[1] === 'vgcreate' ? 5 : 0, lastLines: ['vg0 exists'] });
    const failed = await rootio('partition', { METADATA: document });

    assert.equal(made.error, undefined);
    assert.deepEqual(
      programs.map((line) =>
        line.replace(/--config .* backup=0 archive=0}|--config [^-]*(?=--|vg0|-ff)/, '').replaceAll(/ +/g, ' '),
      ),
      [
        'run lvm vgchange --activate n vg0',
        'run lvm pvcreate -ff --yes /dev/sda2',
        'run lvm vgcreate --yes --addtag site-a vg0 /dev/sda2',
        'run lvm lvcreate --yes --wipesignatures y --zero y --name root --size 8388608b --type linear vg0',
        'run lvm lvcreate --yes --wipesignatures y --zero y --name data --extents 100%FREE vg0',
      ],
    );
    assert.deepEqual([failed.error?.code, failed.exitCode], ['command_failed', 5]);
    assert.match(failed.error?.message ?? '', /^vgcreate of vg0 ended with exit code 5: vg0 exists/);
  });

  it('looks at what mkfs made', async () => {
    await mkdir(join(folder, 'dev'), { recursive: true });
    await writeFile(machine.diskFile('/dev/sda2'), Buffer.alloc(65_536));

    const nothing = await rootio('format', { METADATA });

    assert.match(nothing.error?.message ?? '', /mkfs.ext4 ended well, and \/dev\/sda2 holds nothing known/);
  });

  it('fails when a mkfs fails', async () => {
    answer = async () => ({ exitCode: 1, lastLines: ['no such device'] });

    const result = await rootio('format', { METADATA });

    assert.equal(result.error?.code, 'command_failed');
    assert.deepEqual(machine.journal, ['run mkfs.ext4 -F -L ROOT /dev/sda2']);
  });

  it('wipes both ends', async () => {
    await rootio('partition', { METADATA });
    await rootio('wipe', { METADATA });

    assert.equal((await readFile(machine.diskFile('/dev/sda'))).equals(Buffer.alloc(16 * MIB)), true);
  });
});
