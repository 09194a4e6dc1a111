import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileSystemUuid, PROBE_BYTES } from '#transfer/file-system-probe.ts';
import { stretchGpt, writeGpt, writeMbr } from '../write/partition-table.ts';
import { linkDisks } from './disk-links.ts';

const UUID = '0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9';
const UUID_BYTES = Buffer.from(UUID.replaceAll('-', ''), 'hex');
const GUID = '7e571057-aaaa-4bbb-8ccc-0123456789ab';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tinsmith-links-'));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

/** The beginning of a partition with these bytes at these places. */
function start(parts: Readonly<Record<number, string | Buffer>>): Buffer {
  const bytes = Buffer.alloc(PROBE_BYTES);
  for (const [at, part] of Object.entries(parts)) Buffer.from(part).copy(bytes, Number(at));
  return bytes;
}

const ext4 = (uuid: Buffer): Buffer => start({ 1080: Buffer.of(0x53, 0xef), 1120: Buffer.of(0x40), 1128: uuid });
const fat32 = start({ 82: 'FAT32', 67: Buffer.of(0x57, 0x10, 0x57, 0x7e), 510: Buffer.of(0x55, 0xaa) });
const fat16 = start({ 54: 'FAT16', 39: Buffer.of(0x01, 0x00, 0xcd, 0xab), 510: Buffer.of(0x55, 0xaa) });

async function put(path: string, content: string | Buffer): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), content);
}

/** A disk and its partitions as /sys and /dev show them. */
async function putDisk(name: string, head: Buffer, partitions: Readonly<Record<string, Buffer>>): Promise<void> {
  await put(`sys/class/block/${name}/size`, '2048\n');
  await put(`sys/class/block/${name}/queue/logical_block_size`, '512\n');
  await put(`dev/${name}`, head);
  for (const [index, [partition, content]] of Object.entries(partitions).entries()) {
    await put(`sys/class/block/${name}/${partition}/partition`, `${index + 1}\n`);
    await put(`sys/class/block/${partition}/size`, '1024\n');
    await put(`dev/${partition}`, content);
  }
}

async function links(folder: string): Promise<Record<string, string>> {
  const names = await readdir(join(root, 'dev/disk', folder));
  const targets = names
    .toSorted()
    .map(async (name) => [name, await readlink(join(root, 'dev/disk', folder, name))] as const);
  return Object.fromEntries(await Promise.all(targets));
}

function gptHead(): Buffer {
  const disk = Buffer.alloc(1 << 20);
  const place = { type: GUID, name: '', firstBlock: 64, lastBlock: 65 };
  writeGpt(disk, [{ ...place, guid: GUID }], { guid: GUID, blockBytes: 512 });
  stretchGpt(disk, Buffer.alloc(1 << 20), { sizeBytes: 4 << 20, blockBytes: 512 });
  return disk;
}

describe('links to what is on the disks', () => {
  it('name file systems and partitions as udev does', async () => {
    const mbr = Buffer.alloc(1 << 20);
    writeMbr(mbr, [{ type: 0x83, isActive: false, firstBlock: 64, lastBlock: 65 }]);
    mbr.writeUInt32LE(0x00c0_ffee, 440);
    await putDisk('nvme0n1', gptHead(), { nvme0n1p1: ext4(UUID_BYTES) });
    await putDisk('sdb', mbr, { sdb1: fat32 });

    await linkDisks(root);

    assert.deepEqual(await links('by-uuid'), { [UUID]: '../../nvme0n1p1', '7E57-1057': '../../sdb1' });
    assert.deepEqual(await links('by-partuuid'), { [GUID]: '../../nvme0n1p1', '00c0ffee-01': '../../sdb1' });
  });

  it('follow what changes, and nothing stays of what is gone', async () => {
    await putDisk('vda', gptHead(), { vda1: ext4(Buffer.alloc(16, 7)) });
    await linkDisks(root);
    await symlink('../../vdz9', join(root, 'dev/disk/by-partuuid/gone'));
    await put('dev/vda1', ext4(UUID_BYTES));

    await linkDisks(root);

    assert.deepEqual(await links('by-uuid'), { [UUID]: '../../vda1' });
    assert.deepEqual(await links('by-partuuid'), { [GUID]: '../../vda1' });
  });

  it('are left to udev where it runs', async () => {
    await putDisk('vda', gptHead(), { vda1: ext4(UUID_BYTES) });
    await put('run/udev/control', '');
    await put('dev/disk/by-uuid/of-udev', '');

    await linkDisks(root);

    assert.deepEqual(await readdir(join(root, 'dev/disk')), ['by-uuid']);
    assert.deepEqual(await readdir(join(root, 'dev/disk/by-uuid')), ['of-udev']);
  });

  it('give the first of several copies the name, and pass over what cannot be read', async () => {
    await putDisk('vda', gptHead(), { vda1: ext4(UUID_BYTES) });
    await putDisk('vdb', gptHead(), { vdb1: ext4(UUID_BYTES) });
    await put('sys/class/block/vdc/size', '2048\n');

    await linkDisks(root);

    assert.deepEqual(await links('by-uuid'), { [UUID]: '../../vda1' });
    assert.deepEqual(await links('by-partuuid'), { [GUID]: '../../vda1' });
  });
});

describe('the UUID of a file system', () => {
  it('stands where each kind has it', () => {
    for (const [bytes, expected] of [
      [ext4(UUID_BYTES), UUID],
      [start({ 0: 'XFSB', 32: UUID_BYTES }), UUID],
      [start({ 65_600: '_BHRfS_M', 65_568: UUID_BYTES }), UUID],
      [start({ 4086: 'SWAPSPACE2', 1036: UUID_BYTES }), UUID],
      [fat32, '7E57-1057'],
      [fat16, 'ABCD-0001'],
      [ext4(Buffer.alloc(16)), undefined],
      [start({ 0: 'hsqs' }), undefined],
      [Buffer.alloc(0), undefined],
    ] as const)
      assert.equal(fileSystemUuid(bytes), expected);
  });
});
