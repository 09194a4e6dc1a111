import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LibraryFrame } from '#proto/library-index.ts';
import { type PackedLibraryImage, packedLibraryImage } from '#test/support/library-server.ts';
import type { ImageFormat } from '#transfer/image-format.ts';
import type { FaultPart, Random, RoundContext, RoundResult } from '../fault-run.ts';
import { runAgent, startAgent, type WriteOrder, type WriteOutcome } from './agent-run.ts';
import { DiskContents } from './disk-contents.ts';
import { FaultDisk } from './fault-disk.ts';
import { compress, faultImage, formatsHere } from './fault-image.ts';
import { FaultyServer } from './faulty-server.ts';

const MIB = 1 << 20;
const IMAGE_MIB = 64;
/** xz and bz2 cost the agent seconds: fewer rounds are theirs. */
const FORMATS: readonly ImageFormat[] = ['raw', 'gz', 'zst', 'raw', 'gz', 'zst', 'raw', 'gz', 'zst', 'xz', 'bz2'];
const TIMING = { answerMs: 20_000, stallMs: 20_000, firstPauseMs: 10, longestPauseMs: 100 };
/** After so many kills of one disk the agent may run to its end. */
const KILLS_OF_A_DISK = 10;
/** Slots of the agent's write path, and what may be under way for each beside its frame. */
const SLOTS = 5;
const UNDER_WAY_BYTES = 2 * MIB;

/** The agent's process dies when the server has sent so many bytes; in the end it runs through. */
export const agentKill: FaultPart = {
  name: 'agent-kill',
  summary: 'The agent is killed at a random byte, again and again on the same disk, then runs to the end.',
  rounds: 200,
  roundMs: 120_000,
  start: async ({ rounds, random }, cleanup) => {
    const place = await Place.make(random, cleanup);
    const here = formatsHere();
    const formats = FORMATS.filter((format) => here.includes(format));
    let [urls, libraries] = [0, 0];
    return {
      count: rounds,
      run: async (round, context, label) => {
        const isLast = round > rounds - 2;
        if (round % 2 === 0) {
          label('library');
          libraries += 1;
          return place.killLibrary(context, isLast || libraries % KILLS_OF_A_DISK === 0);
        }
        const format = formats[urls % formats.length] ?? 'raw';
        label(`url ${format}`);
        urls += 1;
        return place.killUrl(format, context, isLast || urls % KILLS_OF_A_DISK === 0);
      },
    };
  },
};

class Place {
  readonly #random: Random;
  readonly #packed: PackedLibraryImage;
  readonly #image: Buffer;
  readonly #files = new Map<ImageFormat, Promise<Buffer>>();
  readonly #urlDisk: FaultDisk;
  readonly #libraryDisk: FaultDisk;
  readonly #server: FaultyServer;

  private constructor(
    random: Random,
    images: { readonly image: Buffer; readonly packed: PackedLibraryImage },
    disks: { readonly url: FaultDisk; readonly library: FaultDisk },
    server: FaultyServer,
  ) {
    this.#random = random;
    this.#image = images.image;
    this.#packed = images.packed;
    this.#urlDisk = disks.url;
    this.#libraryDisk = disks.library;
    this.#server = server;
    const digest = createHash('sha256').update(this.#packed.files['index.json']).digest('hex');
    for (const folder of ['image', `sha256-${digest}`]) {
      for (const [file, bytes] of Object.entries(this.#packed.files)) server.files.set(`/${folder}/${file}`, bytes);
    }
  }

  static async make(random: Random, cleanup: AsyncDisposableStack): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-fault-'));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    const image = await faultImage(IMAGE_MIB, random);
    const packed = await packedLibraryImage(image);
    const attach = (name: string): Promise<FaultDisk> =>
      FaultDisk.attach(join(folder, name), new DiskContents(image.length + 8 * MIB, image), cleanup);
    const disks = { url: await attach('url'), library: await attach('library') };
    const server = cleanup.use(await FaultyServer.start());
    server.isPaced = true;
    return new Place(random, { image, packed }, disks, server);
  }

  async killUrl(format: ImageFormat, { signal }: RoundContext, isLast: boolean): Promise<RoundResult> {
    const file = await (this.#files.get(format) ?? compress(format, this.#image));
    this.#files.set(format, Promise.resolve(file));
    this.#server.files.set(`/${format}`, file);
    const order = this.#order(this.#urlDisk, { url: `${this.#server.origin}/${format}` });

    const outcome = await this.#runUntil(order, this.#random.between(1, file.length), signal);
    await this.#judge(outcome, this.#urlDisk);

    if (isLast) await this.#runThrough(order, this.#urlDisk, signal);
    return { label: `url ${format}` };
  }

  async killLibrary({ signal }: RoundContext, isLast: boolean): Promise<RoundResult> {
    const disk = this.#libraryDisk;
    const source = { image: 'image', mirrors: [`${this.#server.origin}/`], publicKey: this.#packed.publicKey };
    const order = this.#order(disk, source);
    const before = await this.#missing(disk);

    const outcome = await this.#runUntil(order, this.#random.between(1, bytesOf(before)), signal);
    const sent = this.#sentOfFrames();
    await this.#judge(outcome, disk);
    const missing = outcome === 'killed' ? await this.#missing(disk) : before;

    // What came and is not there now: to be fetched again. The frames at the disk's ends always are.
    const again = outcome === 'killed' ? sent - (bytesOf(before) - bytesOf(missing)) : 0;
    const limit = SLOTS * (Math.max(...before.map(({ fileBytes }) => fileBytes)) + UNDER_WAY_BYTES);
    assert.ok(again <= limit, `${again} bytes have to be fetched again, more than a frame a slot, ${limit}`);
    if (!isLast) return { label: 'library', figures: { 'MiB fetched again': again / MIB } };
    const expected = bytesOf(await this.#missing(disk));
    await this.#runThrough(order, disk, signal);
    const needless = this.#sentOfFrames() - expected;
    assert.ok(needless <= 0, `${needless} bytes were fetched that were on the disk already`);
    return { label: 'library', figures: { 'MiB fetched again': again / MIB } };
  }

  #order(disk: FaultDisk, source: WriteOrder['source']): WriteOrder {
    return { device: disk.device, limitMs: 100_000, retryForMs: 60_000, timing: TIMING, source };
  }

  /** Kills the agent when so many bytes were sent to it. */
  async #runUntil(order: WriteOrder, bytes: number, signal: AbortSignal): Promise<WriteOutcome> {
    this.#server.sentBytes = 0;
    const { child, outcome } = startAgent(order, signal);
    this.#server.onSent = () => {
      if (this.#server.sentBytes >= bytes) child.kill('SIGKILL');
    };
    try {
      return await outcome;
    } finally {
      this.#server.onSent = () => undefined;
      this.#server.end();
      signal.throwIfAborted();
    }
  }

  async #judge(outcome: WriteOutcome, disk: FaultDisk): Promise<void> {
    const state = await disk.state();
    if (outcome === 'killed') assert.notEqual(state, 'bootable and not whole', 'after the kill');
    else {
      // It was faster than the kill.
      assert.ok(outcome.isWritten, JSON.stringify(outcome));
      assert.equal(state, 'image', 'a success that a read-back refutes');
      await disk.reset();
    }
  }

  async #runThrough(order: WriteOrder, disk: FaultDisk, signal: AbortSignal): Promise<void> {
    this.#server.sentBytes = 0;
    const outcome = await runAgent(order, signal);
    assert.ok(outcome !== 'killed' && outcome.isWritten, `the last run: ${JSON.stringify(outcome)}`);
    assert.equal(await disk.state(), 'image', 'after the last run');
    await disk.reset();
  }

  #sentOfFrames(): number {
    const { files } = this.#packed;
    return Math.max(0, this.#server.sentBytes - files['index.json'].length - files['index.sig'].length);
  }

  /** Frames that a run has to fetch. Those at the ends are withheld until the last moment, so a dead run leaves none of them. */
  async #missing(disk: FaultDisk): Promise<readonly LibraryFrame[]> {
    const found = await disk.read();
    return this.#packed.index.frames.filter(({ sums, imageOffset, imageBytes }) => {
      const end = imageOffset + imageBytes;
      if (sums === undefined) return false;
      if (imageOffset < MIB || end > found.length - MIB) return true;
      return !found.subarray(imageOffset, end).equals(this.#image.subarray(imageOffset, end));
    });
  }
}

function bytesOf(frames: readonly LibraryFrame[]): number {
  return frames.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
}
