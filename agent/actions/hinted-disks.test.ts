import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { DiskFacts } from '#proto/actions/facts.ts';
import type { InventoryDisk } from '#proto/inventory.ts';
import { actionContext } from '#test/support/action-context.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { hostileServer, wholeFile } from '#test/support/hostile-server.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import type { Machine } from '../machine/machine.ts';
import { type ActionCall, runActionWithPolicy } from './run-action.ts';

const MIB = 1 << 20;

interface Place {
  readonly machine: FolderMachine;
  readonly lines: string[];
  readonly run: (
    call: Partial<ActionCall>,
    disks: readonly DiskFacts[],
    machine?: Machine,
  ) => ReturnType<typeof runActionWithPolicy>;
}

/** Two disks that differ in their serial numbers only, and a USB stick. */
async function place(work: (place: Place) => Promise<void>): Promise<void> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-hints-'));
  const lines: string[] = [];
  const machine = folderMachine({
    folder: folder.path,
    disks: { '/dev/sda': 16 * MIB, '/dev/sdb': 16 * MIB, '/dev/sdc': 16 * MIB },
    about: {
      '/dev/sda': { serial: 'B', model: 'X1', transport: 'sata' },
      '/dev/sdb': { serial: 'A', model: 'X1', transport: 'sata' },
      '/dev/sdc': { serial: 'STICK', transport: 'usb' },
    },
  });
  const run: Place['run'] = async (call, disks, on = machine) => {
    const context = actionContext(on, {
      facts: { hardware: 'node-1', interfaces: [], disks },
      log: (_stream, text) => lines.push(text),
    });
    return runActionWithPolicy(
      { builtIn: 'wipe', environment: {}, command: [], timeoutMs: 0, retries: 0, ...call },
      context,
    );
  };
  await work({ machine, lines, run });
}

const FIRST = '/dev/disk/by-hint/0';
const FILE = { FS_TYPE: 'ext4', UID: '0', GID: '0', MODE: '0644', DIRMODE: '0755', CONTENTS: 'x', DEST_PATH: '/x' };

describe('a disk by hints', () => {
  it('is the one that the record means, for whole disks and partitions, in every action', async () => {
    await place(async ({ machine, lines, run }) => {
      await using server = await hostileServer(diskImage(), [wholeFile]);
      const disks = [{ device: FIRST, hints: { serial: 'A' } }];

      const image = await run({ builtIn: 'image2disk', environment: { IMG_URL: server.url, DEST_DISK: FIRST } }, disks);
      const file = await run({ builtIn: 'writefile', environment: { ...FILE, DEST_DISK: `${FIRST}-part2` } }, disks);

      assert.deepEqual([image.error, file.error], [undefined, undefined]);
      assert.deepEqual(machine.journal, ['open /dev/sdb', 'reread /dev/sdb 1,2', 'mount /dev/sdb2']);
      const said = lines.filter((line) => line.includes('by-hint/0 is'));
      assert.deepEqual(said, ['/dev/disk/by-hint/0 is /dev/sdb (16.8 MB, sata, X1, serial A)']);
    });
  });

  it('is refused when several match, with their names, and nothing is opened', async () => {
    await place(async ({ machine, run }) => {
      const disks = [{ device: FIRST, hints: { model: 'x1' } }];

      const result = await run({ environment: { DEST_DISK: FIRST } }, disks);

      assert.deepEqual([result.outcome, result.error?.code], ['failed', 'device_unfit']);
      assert.match(
        result.error?.message ?? '',
        /^cannot tell which disk \/dev\/disk\/by-hint\/0 is: 2 disks are model x1: \/dev\/sdb .*serial A\); \/dev\/sda .*serial B\): add a hint such as serial, or allowSeveral: true$/,
      );
      assert.deepEqual(machine.journal, []);
    });
  });

  it('is the first by serial number when several are allowed', async () => {
    await place(async ({ machine, run }) => {
      const result = await run({ environment: { DEST_DISK: FIRST } }, [
        { device: FIRST, hints: { model: 'x1', allowSeveral: true } },
      ]);

      assert.equal(result.error, undefined);
      assert.equal(machine.journal[0], 'open /dev/sdb');
    });
  });

  it('is waited for while its driver still looks, and not taken for another that came first', async () => {
    await place(async ({ machine, run }) => {
      const all = await machine.disks();
      let looks = 0;
      const late: Machine = {
        ...machine,
        disks: async (): Promise<readonly InventoryDisk[]> => {
          looks += 1;
          return looks < 4 ? all.slice(0, 1) : all;
        },
      };

      const result = await run(
        { environment: { DEST_DISK: FIRST } },
        [{ device: FIRST, hints: { model: 'x1' } }],
        late,
      );

      assert.match(result.error?.message ?? '', /2 disks are model x1/);
      assert.deepEqual(machine.journal, []);
    });
  });

  it('is what the record lists when a wipe names no disk', async () => {
    await place(async ({ machine, run }) => {
      const result = await run({}, [{ device: FIRST, hints: { serial: 'STICK' } }]);

      assert.equal(result.error, undefined);
      assert.equal(machine.journal[0], 'open /dev/sdc');
    });
  });

  it('that the record has no hints for is no disk; a text that mentions it is no request', async () => {
    await place(async ({ machine, run }) => {
      const environment = { ...FILE, DEST_DISK: '/dev/sda2', CONTENTS: 'see /dev/disk/by-hint/7 there' };

      const disk = await run({ environment: { DEST_DISK: '/dev/disk/by-hint/1' } }, [{ device: '/dev/sda' }]);
      const file = await run({ builtIn: 'writefile', environment }, []);

      assert.match(disk.error?.message ?? '', /there is no \/dev\/disk\/by-hint\/1: the record of node-1 has no hints/);
      assert.equal(file.error, undefined);
      assert.deepEqual(machine.journal, ['mount /dev/sda2']);
    });
  });
});
