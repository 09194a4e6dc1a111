import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PackedLibraryImage, packedLibraryImage } from '#test/support/library-server.ts';
import type { ImageFormat } from '#transfer/image-format.ts';
import type { FaultPart, Random, RoundContext, RoundResult } from '../fault-run.ts';
import { runAgent, type WriteOrder } from './agent-run.ts';
import { type BadTls, startBadTls } from './answers.ts';
import { DiskContents } from './disk-contents.ts';
import { FaultDisk } from './fault-disk.ts';
import { compress, faultImage, formatsHere } from './fault-image.ts';
import { FaultyServer } from './faulty-server.ts';
import { FRAME_FAULTS, INDEX_FAULTS, type LibraryFault } from './library-faults.ts';
import { sha256, URL_FAULTS, type UrlFault } from './url-faults.ts';

const MIB = 1 << 20;
const IMAGE_MIB = 24;
/** Short, so that a server that never gets well is given up within seconds. */
const HURRIED = { answerMs: 1500, stallMs: 1000, firstPauseMs: 10, longestPauseMs: 100 };
const PATIENT = { answerMs: 20_000, stallMs: 20_000, firstPauseMs: 10, longestPauseMs: 100 };

type Case =
  | { readonly kind: 'url'; readonly fault: UrlFault; readonly format: ImageFormat }
  | { readonly kind: 'library'; readonly fault: LibraryFault; readonly hasGoodMirror: boolean };

/** Every fault for every format, and for library images with one mirror and with a good one behind. */
function allCases(formats: readonly ImageFormat[]): readonly Case[] {
  const urls = URL_FAULTS.flatMap((fault) =>
    formats
      .filter((format) => fault.isFor?.(format) ?? true)
      .map((format) => ({ kind: 'url', fault, format }) as const),
  );
  const alone = [...FRAME_FAULTS, ...INDEX_FAULTS].map((fault) => ({ fault, hasGoodMirror: false }));
  const helped = FRAME_FAULTS.map((fault) => ({ fault, hasGoodMirror: true }));
  return [...urls, ...[...alone, ...helped].map((about) => ({ kind: 'library', ...about }) as const)];
}

/** A hostile image server: whatever it does, what the agent says is true, and nothing half-written boots. */
export const hostileServer: FaultPart = {
  name: 'hostile-server',
  summary: 'An image server that cuts, lies, stalls and mixes up, for URLs of every format and for library images.',
  rounds: allCases(['raw', 'gz', 'zst', 'xz', 'bz2']).length,
  roundMs: 100_000,
  start: async ({ rounds, random }, cleanup) => {
    const place = await Place.make(random, cleanup);
    const cases = random.shuffled(allCases(formatsHere())).slice(0, rounds);
    return {
      count: cases.length,
      run: async (round, context, label) => {
        const chosen = cases[round - 1];
        assert.ok(chosen !== undefined);
        label(labelOf(chosen));
        return place.round(chosen, context);
      },
    };
  },
};

function labelOf(chosen: Case): string {
  if (chosen.kind === 'url') return `url: ${chosen.fault.name}`;
  return `library: ${chosen.fault.name}${chosen.hasGoodMirror ? ', good mirror behind' : ''}`;
}

class Place {
  readonly #random: Random;
  readonly #image: Buffer;
  readonly #packed: PackedLibraryImage;
  readonly #files = new Map<ImageFormat, Promise<Buffer>>();
  readonly #disks: readonly FaultDisk[];
  readonly #server: FaultyServer;
  readonly #goodServer: FaultyServer;
  readonly #badTls: BadTls;

  private constructor(
    random: Random,
    { image, packed }: { image: Buffer; packed: PackedLibraryImage },
    disks: readonly FaultDisk[],
    servers: { server: FaultyServer; goodServer: FaultyServer; badTls: BadTls },
  ) {
    this.#random = random;
    this.#image = image;
    this.#packed = packed;
    this.#disks = disks;
    this.#server = servers.server;
    this.#goodServer = servers.goodServer;
    this.#badTls = servers.badTls;
  }

  static async make(random: Random, cleanup: AsyncDisposableStack): Promise<Place> {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-fault-'));
    cleanup.defer(() => rm(folder, { recursive: true, force: true }));
    const image = await faultImage(IMAGE_MIB, random);
    const packed = await packedLibraryImage(image);
    // As long as the image, longer by no whole frame, and so long that the ends of both are far apart.
    const sizes = [image.length, image.length + 3 * MIB + 512 * 8, image.length + 40 * MIB];
    const disks: FaultDisk[] = [];
    for (const size of sizes) {
      disks.push(await FaultDisk.attach(join(folder, `disk-${size}`), new DiskContents(size, image), cleanup));
    }
    const server = cleanup.use(await FaultyServer.start());
    const goodServer = cleanup.use(await FaultyServer.start());
    return new Place(random, { image, packed }, disks, { server, goodServer, badTls: await startBadTls(cleanup) });
  }

  async round(chosen: Case, { signal }: RoundContext): Promise<RoundResult> {
    const disk = this.#random.pick(this.#disks);
    await disk.reset();
    const order = chosen.kind === 'url' ? await this.#beginUrl(chosen) : await this.#beginLibrary(chosen);
    const mustBeWritten = chosen.fault.ends === 'written' || ('hasGoodMirror' in chosen && chosen.hasGoodMirror);
    // Where it can be written there is time, however busy this machine is.
    const limits = mustBeWritten ? { limitMs: 30_000, retryForMs: 20_000 } : { limitMs: 5000, retryForMs: 1500 };

    const outcome = await runAgent({ ...order, ...limits, device: disk.device, timing: HURRIED }, signal);
    const state = await disk.state();
    const said = outcome === 'killed' ? outcome : outcome.isWritten ? 'written' : `${outcome.code}: ${outcome.message}`;
    this.#server.end();

    if (outcome !== 'killed' && outcome.isWritten) {
      assert.equal(state, 'image', 'a success that a read-back refutes');
    } else assert.ok(state === 'zeros' || state === 'old', `after a failure the disk is ${state} (${said})`);
    if (mustBeWritten) assert.equal(said, 'written', 'it could have been written');
    else if (chosen.fault.ends === 'refused') assert.notEqual(said, 'written', 'it took what it should refuse');

    await this.#afterwards(order, disk, signal);
    return { label: labelOf(chosen) };
  }

  /** The fault is over: the same order succeeds, on the disk as it is. */
  async #afterwards(order: Pick<WriteOrder, 'source'>, disk: FaultDisk, signal: AbortSignal): Promise<void> {
    this.#serveLibrary(this.#server, 'image', this.#packed);
    const patient = { ...order, device: disk.device, limitMs: 50_000, retryForMs: 40_000, timing: PATIENT };

    const outcome = await runAgent(patient, signal);

    assert.ok(outcome !== 'killed' && outcome.isWritten, `when the fault is over: ${JSON.stringify(outcome)}`);
    assert.equal(await disk.state(), 'image', 'after the fault');
  }

  async #beginUrl({ fault, format }: Case & { kind: 'url' }): Promise<Pick<WriteOrder, 'source'>> {
    const file = await this.#file(format);
    const [image, random, badTls] = [this.#image, this.#random, this.#badTls];
    this.#server.files.set(`/${format}`, file);
    this.#server.begin(await fault.make({ image, file, format, random, badTls }));
    const sum = fault.sum === undefined ? {} : { [fault.sum]: sha256(fault.sum === 'sha256' ? file : image) };
    return { source: { url: `${this.#server.origin}/${format}`, ...sum } };
  }

  async #beginLibrary({ fault, hasGoodMirror }: Case & { kind: 'library' }): Promise<Pick<WriteOrder, 'source'>> {
    const [image, packed, random, badTls] = [this.#image, this.#packed, this.#random, this.#badTls];
    const setup = { image, packed, random, badTls };
    this.#serveLibrary(this.#server, 'image', fault.where === 'image' ? await fault.make(setup) : packed);
    this.#serveLibrary(this.#goodServer, 'image', packed);
    if (fault.where !== 'image') {
      const answer = fault.make(setup);
      let earlier = 0;
      // Only requests of this file are counted.
      this.#server.begin((asked) =>
        asked.request.url?.endsWith(fault.where) === true ? answer({ ...asked, earlier: earlier++ }) : false,
      );
    }
    const mirrors = [this.#server, ...(hasGoodMirror ? [this.#goodServer] : [])].map(({ origin }) => `${origin}/`);
    return { source: { image: 'image', mirrors, publicKey: packed.publicKey } };
  }

  /** Under its name, and by its digest. */
  #serveLibrary({ files }: FaultyServer, name: string, packed: PackedLibraryImage): void {
    const digest = createHash('sha256').update(packed.files['index.json']).digest('hex');
    for (const folder of [name, `sha256-${digest}`]) {
      for (const [file, bytes] of Object.entries(packed.files)) files.set(`/${folder}/${file}`, bytes);
    }
  }

  #file(format: ImageFormat): Promise<Buffer> {
    const file = this.#files.get(format) ?? compress(format, this.#image);
    this.#files.set(format, file);
    return file;
  }
}
