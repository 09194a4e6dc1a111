/** Archives decoded by igzip and xz: as strict as our own decoders. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempDisposable, readdir, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import { hostileServer, wholeFile } from '#test/support/hostile-server.ts';
import { tarFile } from '#test/support/tar-file.ts';
import { folderMachine } from '../machine/folder-machine.ts';
import { startFilter } from '../machine/program-filter.ts';
import { unpackArchive } from './unpack-archive.ts';

const CONTENT = randomBytes(3 << 20);
const TAR = tarFile([
  { name: 'first', content: CONTENT },
  { name: 'second', content: CONTENT },
]);
const has = async (program: string): Promise<boolean> => (await startFilter([program, '--version'])) !== undefined;
const hasPrograms = (await has('igzip')) && (await has('xz'));

/** What the agent said, and what is in the target. */
async function unpack(file: Buffer) {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-archive-'));
  await using server = await hostileServer(file, [wholeFile]);
  const machine = folderMachine({ folder: folder.path, disks: {} });
  const { signal } = new AbortController();
  const root = await machine.mount('/dev/sda2', undefined, { signal });
  const texts: string[] = [];
  const error = await unpackArchive(
    root,
    {
      url: server.url,
      proxy: {},
      path: '/',
      retryForMs: 400,
      startFilter: (argv) => startFilter(argv, join(folder.path, 'run')),
    },
    { signal, log: (text) => void texts.push(text), progress: () => undefined },
  ).then(
    () => undefined,
    (thrown: unknown) => TinsmithError.from(thrown),
  );
  const names = await readdir(machine.folderOf('/dev/sda2'));
  const first = names.includes('first') ? await readFile(join(machine.folderOf('/dev/sda2'), 'first')) : undefined;
  return { error, first, names, log: texts.join('\n') };
}

describe('an archive that programs decode', { skip: hasPrograms ? false : 'there is no igzip or no xz here' }, () => {
  it('is unpacked, of several members and streams too', async () => {
    const halves = [TAR.subarray(0, 2_000_000), TAR.subarray(2_000_000)];
    const xz = halves.map((half) => execFileSync('sh', ['-c', 'xz -c -0'], { input: half, maxBuffer: TAR.length * 2 }));
    for (const [program, file] of [
      ['igzip', gzipSync(TAR, { level: 1 })],
      ['igzip', Buffer.concat(halves.map((half) => gzipSync(half, { level: 1 })))],
      ['xz', Buffer.concat(xz)],
    ] as const) {
      const { error, first, log } = await unpack(file);

      assert.equal(error, undefined);
      assert.ok(first?.equals(CONTENT));
      assert.match(log, new RegExp(`decoded by ${program}, ${file.length} bytes`));
    }
  });

  it('is decoded again by the agent where igzip does not know all of it', async () => {
    const { error, first, log } = await unpack(Buffer.concat([gzipSync(TAR, { level: 1 }), Buffer.alloc(1000)]));

    assert.equal(error, undefined);
    assert.ok(first?.equals(CONTENT));
    assert.match(log, /igzip does not take all of the image for gz: .*start 2 of/);
  });

  it('changes nothing when it is cut short, damaged or no tar', async () => {
    const gz = gzipSync(TAR, { level: 1 });
    const damaged = Buffer.from(gz);
    damaged.writeUInt8(damaged.readUInt8(gz.length - 6) ^ 1, gz.length - 6);
    for (const file of [gz.subarray(0, -1), gz.subarray(0, gz.length >> 1), damaged, gzipSync(CONTENT)]) {
      const { error, names } = await unpack(file);

      assert.equal(error?.code, 'corrupt_image', error?.message);
      assert.deepEqual(
        names.filter((name) => !name.startsWith('.')),
        [],
      );
    }
  });
});
