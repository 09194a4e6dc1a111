import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import {
  clearDisk,
  fillDisk,
  isZeroDisk,
  MIB,
  NVME_DISK,
  SATA_DISK,
  WIPE_DISK_BYTES,
  WipeWorld,
} from '#test/support/wipe-world.ts';
import type { FolderMachine } from '../machine/folder-machine.ts';
import type { Disk, Machine } from '../machine/machine.ts';
import { partitionDisk } from '../write/partition-disk.ts';

let world: WipeWorld;

beforeEach(() => {
  world = new WipeWorld();
});

afterEach(() => world[Symbol.dispose]());

describe('wipe', () => {
  it('writes zeros where the disk can do nothing by itself, and reads every byte back', async () => {
    const machine = world.machine({});
    await fillDisk(machine, SATA_DISK);

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK, VERIFY: 'all' });

    assert.equal(result.error, undefined);
    assert.equal(await isZeroDisk(machine, SATA_DISK), true);
    assert.match(
      world.log,
      /by discard: .*takes no discards.*\n.*erasing by zero\n.*every byte was read back: zeros\nwiped \/dev\/sda \(25165824 bytes\) by zero/,
    );
    assert.equal(machine.journal.at(-1), 'reread /dev/sda ');
    assert.deepEqual(
      world.progress,
      world.progress.toSorted((a, b) => a - b),
    );
    assert.equal(world.progress.at(-1), 1);
  });

  it('leaves no mark of its own on a disk that was empty', async () => {
    const machine = world.machine({});

    await world.wipe(machine, { DEST_DISK: SATA_DISK });

    assert.equal(await isZeroDisk(machine, SATA_DISK), true);
  });

  it('uses the disk’s own means first and proves what they did', async () => {
    const machine: FolderMachine = world.machine(
      { blkdiscard: async () => (await clearDisk(machine, SATA_DISK), {}) },
      { about: { [SATA_DISK]: { canDiscard: true } } },
    );
    await fillDisk(machine, SATA_DISK);

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK });

    assert.equal(result.error, undefined);
    assert.equal(await isZeroDisk(machine, SATA_DISK), true);
    assert.match(world.log, /256 samples were read back: zeros\nwiped \/dev\/sda .* by discard/);
  });

  it('does not believe a discard that did nothing, and writes zeros instead', async () => {
    for (const isFilled of [true, false]) {
      const machine = world.machine({ blkdiscard: async () => ({}) }, { about: { [SATA_DISK]: { canDiscard: true } } });
      if (isFilled) await fillDisk(machine, SATA_DISK);

      const result = await world.wipe(machine, { DEST_DISK: SATA_DISK });

      assert.equal(result.error, undefined);
      assert.equal(await isZeroDisk(machine, SATA_DISK), true);
      assert.match(world.log, /was not wiped by discard: byte \d+ still holds what it held before; on to the next/);
    }
  });

  it('finds a part of the disk that was left out, wherever it is', async () => {
    const part = Math.ceil((WIPE_DISK_BYTES - 2 * MIB) / 256 / 4096) * 4096;
    for (const from of [MIB, 7 * MIB + 12_288, WIPE_DISK_BYTES - MIB - 2 * part]) {
      const machine: FolderMachine = world.machine(
        { blkdiscard: async () => (await clearDisk(machine, SATA_DISK, { from, to: from + 2 * part }), {}) },
        { about: { [SATA_DISK]: { canDiscard: true } } },
      );
      await fillDisk(machine, SATA_DISK);

      const result = await world.wipe(machine, { DEST_DISK: SATA_DISK, METHOD: 'discard' });

      assert.equal(result.outcome, 'failed');
      assert.match(result.error?.message ?? '', /was not wiped by discard: byte \d+ still holds/);
    }
  });

  it('fails when the method that was asked for cannot be used, and the disk does not boot', async () => {
    const machine = world.machine({});
    await fillDisk(machine, SATA_DISK);

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK, METHOD: 'nvme-format' });

    assert.deepEqual([result.outcome, result.error?.code], ['failed', 'unsupported']);
    assert.match(result.error?.message ?? '', /cannot wipe \/dev\/sda by nvme-format: it is no NVMe drive/);
    assert.equal((await readFile(machine.diskFile(SATA_DISK))).subarray(0, MIB).equals(Buffer.alloc(MIB)), true);
  });

  it('touches nothing when one of the disks is in use, a partition or missing', async () => {
    for (const [bad, pattern] of [
      ['/dev/sdb', /\/dev\/sdb1 is mounted/],
      ['/dev/sda1', /it is a partition/],
      ['/dev/sdx', /there is no \/dev\/sdx/],
    ] as const) {
      const folderMade = world.machine({});
      await fillDisk(folderMade, SATA_DISK);
      const before = await readFile(folderMade.diskFile(SATA_DISK));
      const machine: Machine = {
        ...folderMade,
        openDisk: async (device, options) => {
          if (device === '/dev/sdb')
            throw new TinsmithError('device_unfit', 'cannot write to /dev/sdb: /dev/sdb1 is mounted on /mnt');
          return folderMade.openDisk(device, options);
        },
      };

      const result = await world.wipe(machine, { DEST_DISK: `${SATA_DISK}, ${bad}` });

      assert.deepEqual([result.outcome, result.error?.code], ['failed', 'device_unfit']);
      assert.match(result.error?.message ?? '', pattern);
      assert.deepEqual(await readFile(folderMade.diskFile(SATA_DISK)), before);
    }
  });

  it('takes the disks of the record, or every built-in one, and no others', async () => {
    const machine = world.machine(
      {},
      { about: { '/dev/sdb': { transport: 'usb' }, [NVME_DISK]: { removable: true } } },
    );
    for (const device of [SATA_DISK, '/dev/sdb', NVME_DISK]) await fillDisk(machine, device);

    const fromRecord = await world.wipe(
      machine,
      { DEST_DISK: '' },
      { facts: { hardware: 'node-1', interfaces: [], disks: [{ device: '/dev/sdb' }] } },
    );
    const afterRecord = [await isZeroDisk(machine, SATA_DISK), await isZeroDisk(machine, '/dev/sdb')];
    await fillDisk(machine, '/dev/sdb');
    const all = await world.wipe(machine, { ALL_DISKS: 'true' });

    assert.deepEqual([fromRecord.error, all.error], [undefined, undefined]);
    assert.deepEqual(afterRecord, [false, true]);
    assert.deepEqual(
      [
        await isZeroDisk(machine, SATA_DISK),
        await isZeroDisk(machine, '/dev/sdb'),
        await isZeroDisk(machine, NVME_DISK),
      ],
      [true, false, false],
    );
  });

  it('refuses to guess when the record lists no disks', async () => {
    const result = await world.wipe(world.machine({}), {});

    assert.match(result.error?.message ?? '', /the record of node-1 lists no disks: set DEST_DISK, or ALL_DISKS=true/);
  });

  it('removes signatures of the disk and its partitions when asked for that alone, and says so', async () => {
    const machine = world.machine({});
    await fillDisk(machine, SATA_DISK);
    {
      await using disk = await machine.openDisk(SATA_DISK, { signal: new AbortController().signal });
      await partitionDisk(
        disk,
        [
          { number: 1, label: 'ROOT', size: 8192 },
          { number: 2, label: 'DATA', size: 0 },
        ],
        'gpt',
      );
    }

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK, METHOD: 'signatures' });

    assert.equal(result.error, undefined);
    const bytes = await readFile(machine.diskFile(SATA_DISK));
    const places = [0, MIB, 5 * MIB - 4096, 5 * MIB, 23 * MIB, WIPE_DISK_BYTES - 4096];
    for (const at of places) assert.deepEqual(bytes.subarray(at, at + 4096), Buffer.alloc(4096), `byte ${at}`);
    assert.equal(bytes.subarray(8 * MIB, 9 * MIB).equals(Buffer.alloc(MIB)), false);
    assert.match(world.log, /the data is still on the disk/);
  });

  it('ends when it is cancelled, with a disk that does not boot', async () => {
    const controller = new AbortController();
    const machine = world.machine({});
    await fillDisk(machine, SATA_DISK);

    const result = await world.wipe(
      machine,
      { DEST_DISK: SATA_DISK },
      {
        signal: controller.signal,
        progress: () => controller.abort(new TinsmithError('cancelled', 'the operator said stop')),
      },
    );

    assert.deepEqual([result.outcome, result.error?.message], ['cancelled', 'the operator said stop']);
    assert.equal((await readFile(machine.diskFile(SATA_DISK))).subarray(0, MIB).equals(Buffer.alloc(MIB)), true);
  });

  it('fails when the disk keeps its data whatever is written', async () => {
    const made = world.machine({});
    await fillDisk(made, SATA_DISK);
    const machine: Machine = {
      ...made,
      openDisk: async (device, options) => stubborn(await made.openDisk(device, options)),
    };

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK });

    assert.deepEqual([result.outcome, result.error?.code], ['failed', 'write_failed']);
    assert.match(result.error?.message ?? '', /was not wiped by zero: byte \d+ still holds/);
  });
});

/** Takes writes and forgets those in its middle. */
function stubborn(disk: Disk): Disk {
  return {
    device: disk.device,
    sizeBytes: disk.sizeBytes,
    logicalBlockBytes: disk.logicalBlockBytes,
    read: (buffer, offset) => disk.read(buffer, offset),
    write: async (buffer, offset) => {
      if (offset < MIB || offset >= WIPE_DISK_BYTES - MIB) await disk.write(buffer, offset);
    },
    makesZeros: false,
    zero: (range, options) => disk.zero(range, options),
    flush: () => disk.flush(),
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  };
}
