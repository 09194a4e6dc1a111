import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { diskImage } from '#test/support/disk-image.ts';
import { imageFixture } from '#test/support/disk-image-fixtures.ts';
import { loopDevice, noLoopDevices } from '#test/support/loop-device.ts';
import { openImageSource } from '../image-source.ts';
import { parseMounts } from './device-users.ts';
import { changeBetween, numberText } from './device-writes.ts';
import { openLocalFile } from './local-file.ts';
import type { SourceFile } from './source-file.ts';

const run = promisify(execFile);

interface Place extends AsyncDisposable {
  readonly folder: string;
  readonly device: string;
}

async function place(): Promise<Place> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-device-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'disk'), diskImage());
  const { path } = stack.use(await loopDevice(join(folder, 'disk')));
  // Those that the image has; kernels that read no partition tables are told.
  for (const part of ['1 2048 2048', '2 4096 5120']) {
    await run('addpart', [path, ...part.split(' ')]).catch(() => access(`${path}p${part[0]}`));
  }
  const owned = stack.move();
  return { folder, device: path, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function bytesOf(source: SourceFile): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of source.stream()) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

async function write(device: string, ...how: readonly string[]): Promise<void> {
  await run('dd', ['if=/dev/urandom', `of=${device}`, 'bs=4096', 'count=1', 'conv=notrunc', ...how]);
}

describe('a block device as a source', { skip: noLoopDevices }, () => {
  it('gives its bytes while nobody writes to it', async () => {
    await using disk = await place();
    // What waits in memory when it is opened was written before.
    await using writer = await open(disk.device, 'r+');
    await writer.write(Buffer.from('before'), 0, 6, 1000);
    await using source = await openLocalFile(disk.device);

    const image = diskImage();
    image.write('before', 1000);
    assert.equal(source.totalBytes, image.length);
    assert.ok((await bytesOf(source)).equals(image));
    await source.requireUnchanged();
  });

  it('is told of with its size, also when a disk image lies on it', async () => {
    await using disk = await place();
    for (const content of [undefined, imageFixture('v3.qcow2')]) {
      if (content !== undefined) await writeFile(disk.device, content, { flag: 'r+' });
      const seen = new Set<number | undefined>();
      await using source = await openImageSource(disk.device, {
        signal: AbortSignal.timeout(30_000),
        progress: (_, total) => void seen.add(total),
      });
      let bytes = 0;
      for await (const piece of source.image) bytes += 'zeros' in piece ? piece.zeros : piece.length;

      assert.ok(!seen.has(undefined));
      assert.equal([...seen].at(-1), bytes);
      assert.equal(bytes === diskImage().length, content === undefined);
    }
  });

  it('is refused when somebody has written to it meanwhile, in whatever way', async () => {
    for (const how of [[], ['oflag=direct'], ['seek=700']]) {
      await using disk = await place();
      await using source = await openLocalFile(disk.device);
      await bytesOf(source);
      await write(disk.device, ...how);
      await assert.rejects(source.requireUnchanged(), {
        code: 'conflict',
        message: `the device ${disk.device} changed while it was read: 8 sectors of 512 bytes were written to it: import it again when nobody writes to it`,
      });
    }
  });

  it('is refused also when what somebody wrote still waits in memory', async () => {
    await using disk = await place();
    await using source = await openLocalFile(disk.device);
    await using writer = await open(disk.device, 'r+');
    await writer.write(Buffer.from('meanwhile'), 0, 9, 100_000);
    await bytesOf(source);

    await assert.rejects(source.requireUnchanged(), { code: 'conflict', message: /8 sectors .* were written/ });
  });

  it('is refused when it got another size meanwhile', async () => {
    await using disk = await place();
    await using source = await openLocalFile(disk.device);
    await truncate(join(disk.folder, 'disk'), 6 << 20);
    await run('losetup', ['--set-capacity', disk.device]);

    await assert.rejects(source.requireUnchanged(), { code: 'conflict', message: /10240 sectors and has 12288 now/ });
  });

  it('may be a partition, whose neighbours may be written to, but not its disk', async () => {
    await using disk = await place();
    await using source = await openLocalFile(`${disk.device}p1`);
    assert.equal((await bytesOf(source)).length, 1 << 20);
    await write(`${disk.device}p2`);
    await source.requireUnchanged();

    await write(disk.device, 'seek=300', 'oflag=direct');
    await assert.rejects(source.requireUnchanged(), { code: 'conflict', message: /8 sectors .* to its disk/ });
    await write(`${disk.device}p1`);
    await assert.rejects(source.requireUnchanged(), { code: 'conflict', message: /8 sectors .* were written to it:/ });
  });

  it('is refused while it is mounted to be written, and taken while it is mounted to be read', async () => {
    await using disk = await place();
    const [partition, target] = [`${disk.device}p2`, join(disk.folder, 'a mount')];
    await run('mkfs.ext2', ['-q', partition]);
    await mkdir(target);
    await run('mount', [partition, target]);
    try {
      for (const device of [disk.device, partition]) {
        await assert.rejects(openLocalFile(device), {
          code: 'device_unfit',
          message: `cannot import the device ${device}: ${partition} is mounted on ${target} and may be written to: unmount it, or mount it read-only (mount -o remount,ro ${target})`,
        });
      }
      await run('mount', ['-o', 'remount,ro', target]);
      await using source = await openLocalFile(disk.device);
      await bytesOf(source);
      await source.requireUnchanged();
      await run('mount', ['-o', 'remount,rw', target]);
      await assert.rejects(source.requireUnchanged(), { code: 'conflict' });
    } finally {
      await run('umount', [target]);
    }
  });

  it('cannot be mounted or taken by others meanwhile', async () => {
    await using disk = await place();
    await run('mkfs.ext2', ['-q', `${disk.device}p2`]);
    const target = join(disk.folder, 'mount');
    await mkdir(target);
    await using source = await openLocalFile(disk.device);

    const mount = async (): Promise<void> => {
      await run('mount', [`${disk.device}p2`, target]);
      // Nothing of it may stay where this test fails.
      await run('umount', [target]);
    };
    await assert.rejects(mount, /busy|already mounted/);
    await assert.rejects(openLocalFile(disk.device), {
      code: 'device_unfit',
      message: /another program or import has/,
    });
    await source.requireUnchanged();
  });

  it('is refused where nobody counts what is written to it', async () => {
    await using disk = await place();
    const file = `/sys/block/${disk.device.slice('/dev/'.length)}/queue/iostats`;
    const handle = await open(file, constants.O_WRONLY);
    await handle.write('0');
    try {
      const message = new RegExp(`its statistics are off: switch them on with echo 1 > .*/queue/iostats$`);
      await assert.rejects(openLocalFile(disk.device), { code: 'device_unfit', message });
    } finally {
      await handle.write('1');
      await handle.close();
    }
  });
});

describe('what is known of a block device', () => {
  it('is its number as the kernel writes it', () => {
    assert.equal(numberText(0x801n), '8:1');
    // makedev(259, 300) and makedev(0x12345, 0x6789a), as glibc makes them.
    assert.equal(numberText(0x1_1032cn), '259:300');
  });

  it('is where it is mounted, and whether anybody may write there', () => {
    const lines = [
      '36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue',
      '37 35 8:1 / /a\\040mount ro,relatime - xfs /dev/sda1 rw,attr2',
      '38 35 11:0 / /cd ro - iso9660 /dev/sr0 ro',
      '',
    ];
    assert.deepEqual(parseMounts(lines.join('\n')), [
      { number: '98:0', source: '/dev/root', place: '/mnt2', isWritable: true },
      { number: '8:1', source: '/dev/sda1', place: '/a mount', isWritable: true },
      { number: '11:0', source: '/dev/sr0', place: '/cd', isWritable: false },
    ]);
  });

  it('says what happened to it', () => {
    const mark = { sectors: 100, diskSectors: 0, size: '2048', sequence: '7' };
    assert.equal(changeBetween(mark, mark), undefined);
    assert.match(changeBetween(mark, { ...mark, sequence: '8', size: '1' }) ?? '', /exchanged/);
    assert.match(changeBetween(mark, { ...mark, sectors: 108 }) ?? '', /^8 sectors/);
    // Neighbours that never rest hide what is written by the disk's own name.
    assert.equal(changeBetween(mark, { ...mark, diskSectors: undefined }), undefined);
  });
});
