import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseLibraryIndex } from '#proto/library-index.ts';
import type { ImageFormat } from '#transfer/image-format.ts';
import type { FaultPart, Random, RoundContext, RoundResult } from '../fault-run.ts';
import { startAgent, type WriteOrder } from './agent-run.ts';
import { DiskContents } from './disk-contents.ts';
import { FaultDisk } from './fault-disk.ts';
import { compress, faultImage, flipped } from './fault-image.ts';
import { type PacingProxy, startPacingProxy } from './pacing-proxy.ts';
import { ServeProcess } from './serve-process.ts';

const MIB = 1 << 20;
const IMAGE_MIB = 64;
const FORMATS: readonly ImageFormat[] = ['raw', 'gz', 'zst'];
const TIMING = { answerMs: 20_000, stallMs: 20_000, firstPauseMs: 50, longestPauseMs: 500 };
/** While one agent writes; once in a short run. */
const KILLS_OF_A_WRITE = 5;
const SHORT_RUN_ROUNDS = 10;
/** One write with its kills, then one import with its kill. */
const ROUNDS_OF_A_CYCLE = 2;

/** `tinsmith serve` dies while an agent writes, and while it imports. */
export const serverKill: FaultPart = {
  name: 'server-kill',
  summary: 'tinsmith serve is killed while an agent writes (5 times a write) and while it imports (once).',
  rounds: 68,
  roundMs: 240_000,
  start: async ({ rounds, random }, cleanup) => {
    const place = await Place.make(random, cleanup);
    return {
      count: rounds,
      run: async (round, context, label) => {
        if (round % ROUNDS_OF_A_CYCLE === 0) {
          label('import');
          return place.killImport(context);
        }
        const sources = ['library', ...FORMATS] as const;
        const source = sources[((round - 1) / ROUNDS_OF_A_CYCLE) % sources.length] ?? 'library';
        label(`write ${source}`);
        const kills = rounds < SHORT_RUN_ROUNDS ? 1 : KILLS_OF_A_WRITE;
        return place.killWhileWriting(source, kills, context);
      },
    };
  },
};

class Place {
  readonly #random: Random;
  readonly #server: ServeProcess;
  readonly #proxy: PacingProxy;
  readonly #disk: FaultDisk;
  readonly #publicKey: string;
  readonly #source: string;
  #sizes = new Map<string, number>();
  /** How long an import takes when nobody disturbs it. */
  #importMs = 0;

  private constructor(
    random: Random,
    parts: { server: ServeProcess; proxy: PacingProxy; disk: FaultDisk; publicKey: string; source: string },
  ) {
    this.#random = random;
    this.#server = parts.server;
    this.#proxy = parts.proxy;
    this.#disk = parts.disk;
    this.#publicKey = parts.publicKey;
    this.#source = parts.source;
  }

  static async make(random: Random, cleanup: AsyncDisposableStack): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-fault-'));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    const image = await faultImage(IMAGE_MIB, random);
    const disk = await FaultDisk.attach(join(folder, 'disk'), new DiskContents(image.length + 8 * MIB, image), cleanup);
    const server = cleanup.use(new ServeProcess(join(folder, 'data')));
    await server.start();
    await server.kill();
    const publicKey = await server.libraryKey();
    const proxy = cleanup.use(await startPacingProxy(() => server.httpPort));
    const source = join(folder, 'source.raw');
    // Another image than the one that agents write: its import makes a blob of its own.
    await writeFile(source, flipped(image, random, 9 * MIB));
    const place = new Place(random, { server, proxy, disk, publicKey, source });
    for (const format of FORMATS) {
      const file = await compress(format, image);
      await writeFile(join(folder, `image.${format}`), file);
      await server.addFile(join(folder, `image.${format}`));
      place.#sizes.set(format, file.length);
    }
    await server.start();
    const startedAt = performance.now();
    await place.#import('image', join(folder, 'image.raw'));
    place.#importMs = performance.now() - startedAt;
    const index = await readFile(join(await place.#blobOf('image'), 'index.json'), 'utf8');
    place.#sizes.set('library', parseLibraryIndex(index).fileBytes);
    return place;
  }

  async killWhileWriting(
    source: ImageFormat | 'library',
    wanted: number,
    { signal }: RoundContext,
  ): Promise<RoundResult> {
    await this.#disk.reset();
    const moments = Array.from({ length: wanted }, () =>
      this.#random.between(0, this.#sizes.get(source) ?? 0),
    ).toSorted((a, b) => a - b);
    const { outcome } = startAgent(this.#order(source), signal);
    let kills = 0;
    let restarting: Promise<void> = Promise.resolve();
    this.#proxy.passedBytes = 0;
    this.#proxy.onPassed = () => {
      if (this.#server.httpPort === 0 || this.#proxy.passedBytes < (moments[kills] ?? Number.POSITIVE_INFINITY)) return;
      kills += 1;
      restarting = this.#restart();
    };
    try {
      const ended = await outcome;
      await restarting;
      assert.ok(ended !== 'killed' && ended.isWritten, `the agent did not get through: ${JSON.stringify(ended)}`);
      assert.equal(await this.#disk.state(), 'image', 'a success that a read-back refutes');
      return { label: `write ${source}`, figures: { kills } };
    } finally {
      this.#proxy.onPassed = () => undefined;
      await restarting;
    }
  }

  async killImport({ signal }: RoundContext): Promise<RoundResult> {
    const name = 'killed';
    const adding = this.#server.cli('image', 'add', name, this.#source);
    await sleep(this.#random.between(0, this.#importMs * 1.1), undefined, { signal });
    await this.#restart();
    const { code } = await adding;

    const names = await readdir(this.#library('names'));
    const isThere = names.includes(`${name}.json`);
    if (code === 0) assert.ok(isThere, 'the import was reported as done and is gone');
    if (isThere) assert.equal((await this.#server.cli('image', 'verify', name)).code, 0, 'the image is not whole');
    else assert.equal(await this.#status(name), 404, 'an image without its name is served');
    assert.deepEqual(await readdir(this.#library('incoming')), [], 'remains of the import');
    for (const blob of await readdir(this.#library('blobs'))) await this.#requireWhole(blob);

    await this.#import(name, this.#source);
    assert.equal((await this.#server.cli('image', 'verify', name)).code, 0, 'the next import is not whole');
    for (const argv of [['remove', name], ['gc']]) assert.equal((await this.#server.cli('image', ...argv)).code, 0);
    return { label: 'import', figures: { 'done before the kill': isThere ? 1 : 0 } };
  }

  async #restart(): Promise<void> {
    await this.#server.kill();
    await this.#server.start();
  }

  async #import(name: string, source: string): Promise<void> {
    const { code, stderr } = await this.#server.cli('image', 'add', name, source);
    assert.equal(code, 0, stderr);
  }

  #order(source: ImageFormat | 'library'): WriteOrder {
    const { origin } = this.#proxy;
    const place =
      source === 'library'
        ? { image: 'image', mirrors: [`${origin}/library/`], publicKey: this.#publicKey }
        : { url: `${origin}/images/image.${source}` };
    return { device: this.#disk.device, limitMs: 230_000, retryForMs: 120_000, timing: TIMING, source: place };
  }

  /** A blob that is there is complete, with or without a name. */
  async #requireWhole(blob: string): Promise<void> {
    const folder = this.#library('blobs', blob);
    const { fileBytes } = parseLibraryIndex(await readFile(join(folder, 'index.json'), 'utf8'));
    assert.equal((await stat(join(folder, 'image.zst'))).size, fileBytes, `the blob ${blob} is not whole`);
    assert.ok((await stat(join(folder, 'index.sig'))).size > 80, `the blob ${blob} is not signed`);
  }

  async #status(name: string): Promise<number> {
    return (await fetch(`http://127.0.0.1:${this.#server.httpPort}/library/${name}/index.json`)).status;
  }

  async #blobOf(name: string): Promise<string> {
    const { digest } = JSON.parse(await readFile(this.#library('names', `${name}.json`), 'utf8'));
    return this.#library('blobs', `sha256-${digest}`);
  }

  #library(...path: readonly string[]): string {
    return join(this.#server.folder, 'library', ...path);
  }
}
