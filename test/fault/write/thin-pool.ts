import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { packedLibraryImage } from '#test/support/library-server.ts';
import type { FaultPart, RoundContext } from '../fault-run.ts';
import { runAgent, type WriteOrder } from './agent-run.ts';
import { DiskContents } from './disk-contents.ts';
import { attachLoop } from './fault-disk.ts';
import { compress, faultImage } from './fault-image.ts';
import { FaultyServer } from './faulty-server.ts';

const run = promisify(execFile);
const MIB = 1 << 20;
const IMAGE_MIB = 24;
const TIMING = { answerMs: 20_000, stallMs: 20_000, firstPauseMs: 10, longestPauseMs: 100 };
const SOURCES = ['library', 'raw', 'zst'] as const;

/** A block device of the kernel whose backing runs out of space: a loop device over a sparse file on a small tmpfs. */
export const thinPool: FaultPart = {
  name: 'thin-pool',
  summary: 'A loop device whose backing is full in the middle of the image, then gets room. Root only.',
  rounds: 24,
  roundMs: 60_000,
  start: async ({ rounds, random }, cleanup) => {
    if (process.getuid?.() !== 0) return { count: 0, run: () => Promise.reject(new Error('this part needs root')) };
    const image = await faultImage(IMAGE_MIB, random);
    const contents = new DiskContents(image.length + 3 * MIB, image);
    const packed = await packedLibraryImage(image);
    const server = cleanup.use(await FaultyServer.start());
    for (const format of ['raw', 'zst'] as const) server.files.set(`/${format}`, await compress(format, image));
    const digest = createHash('sha256').update(packed.files['index.json']).digest('hex');
    for (const folder of ['image', `sha256-${digest}`]) {
      for (const [file, bytes] of Object.entries(packed.files)) server.files.set(`/${folder}/${file}`, bytes);
    }
    const { origin } = server;
    const library = { image: 'image', mirrors: [`${origin}/`], publicKey: packed.publicKey };
    return {
      count: rounds,
      run: async (round, context, label) => {
        const source = SOURCES[round % SOURCES.length] ?? 'raw';
        label(source);
        const roomBytes = random.between(3 * MIB, 16 * MIB);
        await fillAndWrite(
          source === 'library' ? library : { url: `${origin}/${source}` },
          { roomBytes, contents },
          context,
        );
        return { label: source };
      },
    };
  },
};

async function fillAndWrite(
  source: WriteOrder['source'],
  { roomBytes, contents }: { readonly roomBytes: number; readonly contents: DiskContents },
  { signal }: RoundContext,
): Promise<void> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-fault-'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const pool = join(folder, 'pool');
  await mkdir(pool);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${roomBytes}`, 'tmpfs', pool]);
  cleanup.defer(async () => {
    await run('umount', [pool]);
  });
  const file = join(pool, 'disk');
  await using handle = await open(file, 'w');
  await handle.truncate(contents.old.length);
  const device = await attachLoop(file, cleanup);
  assert.match(device, /^\/dev\/loop/, 'no loop device is free');
  const order = { device, limitMs: 50_000, retryForMs: 20_000, timing: TIMING, source };

  const full = await runAgent(order, signal);
  assert.ok(full !== 'killed' && !full.isWritten, 'it was written to a pool without room for it');
  assert.equal(full.code, 'write_failed', full.message);
  assert.ok(full.message.includes(device), full.message);
  assert.equal(contents.judge(await readFile(file)), 'zeros', full.message);

  await run('mount', ['-o', `remount,size=${2 * contents.old.length}`, pool]);
  const roomy = await runAgent(order, signal);
  assert.ok(roomy !== 'killed' && roomy.isWritten, `with room: ${JSON.stringify(roomy)}`);
  assert.equal(contents.judge(await readFile(file)), 'image');
}
