import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { HashThreads } from './hash-threads.ts';

const LIMIT = { timeout: 60_000 };
const PIECE_BYTES = 4 << 20;
/** What the threads were, and how many sums each has made. */
const sumsOf = new Map<Worker, number>();
const note = (worker: Worker): void => {
  sumsOf.set(worker, 0);
  worker.on('message', () => sumsOf.set(worker, (sumsOf.get(worker) ?? 0) + 1));
};

beforeEach(() => {
  sumsOf.clear();
  process.on('worker', note);
});

afterEach(() => void process.off('worker', note));

function sharedPieces(count: number): readonly Buffer[] {
  const memory = new SharedArrayBuffer(count * PIECE_BYTES);
  return Array.from({ length: count }, (_, i) => Buffer.from(memory, i * PIECE_BYTES, PIECE_BYTES).fill(i));
}

function expectedOf(pieces: readonly Buffer[]): readonly string[] {
  return pieces.map((piece) => createHash('sha256').update(piece).digest('hex'));
}

/** Sums up again and again until as many threads are up. */
async function warmUp(threads: HashThreads, pieces: readonly Buffer[], count: number): Promise<void> {
  while (threads.count < count) {
    await Promise.all(pieces.map((piece) => threads.sha256(piece)));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('threads that sum up', () => {
  for (const [processors, count] of [
    [1, 0],
    [2, 0],
    [3, 1],
    [4, 2],
    [64, 3],
  ] as const) {
    it(`are ${count} on ${processors} processor(s), and all of them and the caller get work`, LIMIT, async () => {
      const pieces = sharedPieces(5);
      const expected = expectedOf(pieces);
      {
        await using threads = new HashThreads(processors);
        await warmUp(threads, pieces, count);
        for (const worker of sumsOf.keys()) sumsOf.set(worker, 0);

        assert.deepEqual(await Promise.all(pieces.map((piece) => threads.sha256(piece))), expected);

        const sums = [...sumsOf.values()];
        assert.equal(sums.length, count);
        assert.ok(sums.every((made) => made > 0));
      }
      assert.ok(
        [...sumsOf.keys()].every(({ threadId }) => threadId === -1),
        'they end',
      );
    });
  }

  it('keep a process that waits for nothing else', LIMIT, async () => {
    const code = `
      import { HashThreads } from '#agent/write/hash-threads.ts';
      const threads = new HashThreads(3);
      const bytes = new Uint8Array(new SharedArrayBuffer(64 << 20));
      while (threads.count === 0) {
        await threads.sha256(bytes.subarray(0, 1));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      console.log(await threads.sha256(bytes));
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', code], {
      timeout: 30_000,
    });
    assert.equal(
      stdout.trim(),
      createHash('sha256')
        .update(Buffer.alloc(64 << 20))
        .digest('hex'),
    );
  });

  it('are not asked for what is not shared', LIMIT, async () => {
    await using threads = new HashThreads(3);
    await warmUp(threads, sharedPieces(1), 1);
    const before = [...sumsOf.values()];
    const own = Buffer.alloc(1000, 1);

    assert.deepEqual([await threads.sha256(own)], expectedOf([own]));
    assert.deepEqual([...sumsOf.values()], before);
  });

  it('cost nothing but their help when they die over a sum', LIMIT, async () => {
    const pieces = sharedPieces(4);
    await using threads = new HashThreads(3);
    await warmUp(threads, pieces, 1);
    const [worker] = sumsOf.keys();
    assert.ok(worker);

    const sums = pieces.map((piece) => threads.sha256(piece));
    const exit = once(worker, 'exit');
    await worker.terminate();
    await exit;

    assert.deepEqual(await Promise.all(sums), expectedOf(pieces));
    assert.deepEqual(await Promise.all(pieces.map((piece) => threads.sha256(piece))), expectedOf(pieces));
    assert.equal(threads.count, 0);
    assert.equal(sumsOf.size, 1, 'it is not tried again and again');
  });
});
