import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { FileDisk } from '#agent/machine/file-disk.ts';
import { writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import { writeImage } from '#agent/write/write-image.ts';
import { TinsmithError } from '#proto/errors.ts';
import { type PackedLibraryImage, packedLibraryImage } from '#test/support/library-server.ts';
import type { FaultPart, Random, RoundContext, RoundResult } from '../fault-run.ts';
import { DiskContents } from './disk-contents.ts';
import { compress, faultImage } from './fault-image.ts';
import { FaultyServer } from './faulty-server.ts';
import { type DiskFaults, ModelFile } from './model-file.ts';

const MIB = 1 << 20;
const IMAGE_MIB = 24;
const DEVICE = '/dev/model';
const SOURCES = ['library', 'raw', 'gz', 'zst'] as const;
type Source = (typeof SOURCES)[number];

interface DiskFault {
  readonly name: string;
  readonly ends: 'written' | 'refused' | 'either';
  /** Whether the operator asked to read the whole disk back. */
  readonly verifyDisk?: boolean;
  /** What can be demanded of the disk after a failure beyond that it does not boot; default: zeros at both ends, or all as it was. */
  readonly leaves?: 'unwritable ends' | 'zeros at the other end';
  /** `operations`: how many a run without faults does. */
  readonly make: (about: { random: Random; sizeBytes: number; operations: number }) => DiskFaults;
}

const anyOperation = ({ random, operations }: { random: Random; operations: number }): number =>
  random.between(1, operations + 1);
const middleByte = ({ random, sizeBytes }: { random: Random; sizeBytes: number }): number =>
  // All of the image but its zeros: frames of zeros may lie on the disk already, and are not written then.
  random.between(MIB, Math.min(11 * MIB, sizeBytes - MIB));

/** Of a whole run: three flushes and five writes are its last steps. */
const LAST_STEPS = 8;

const DISK_FAULTS: readonly DiskFault[] = [
  {
    name: 'one operation fails',
    ends: 'refused',
    make: (about) => ({ failing: { from: anyOperation(about), count: 1 } }),
  },
  {
    name: 'all operations fail from one on',
    ends: 'refused',
    leaves: 'unwritable ends',
    make: (about) => ({ failing: { from: anyOperation(about), count: Number.POSITIVE_INFINITY } }),
  },
  {
    name: 'a byte in the middle cannot be written',
    ends: 'refused',
    make: (about) => ({ badByte: { at: middleByte(about), from: 1 } }),
  },
  {
    name: 'a byte in the first MiB cannot be written',
    ends: 'refused',
    leaves: 'unwritable ends',
    make: ({ random }) => ({ badByte: { at: random.between(0, MIB), from: 1 } }),
  },
  {
    name: 'a byte in the last MiB cannot be written',
    ends: 'refused',
    leaves: 'unwritable ends',
    make: ({ random, sizeBytes }) => ({ badByte: { at: random.between(sizeBytes - MIB, sizeBytes), from: 1 } }),
  },
  {
    name: 'the first MiB fails when it is written last',
    ends: 'refused',
    leaves: 'zeros at the other end',
    make: ({ random, operations }) => ({
      badByte: { at: random.pick([0, 600, 5000]), from: operations - LAST_STEPS + 1 },
    }),
  },
  {
    name: 'the last MiB fails when it is written last',
    ends: 'refused',
    leaves: 'zeros at the other end',
    make: ({ random, sizeBytes, operations }) => ({
      badByte: { at: sizeBytes - random.pick([1, 600, 5000]), from: operations - LAST_STEPS + 1 },
    }),
  },
  {
    name: 'the pool is full',
    ends: 'refused',
    make: ({ random }) => ({ roomBytes: random.between(2 * MIB, 14 * MIB) }),
  },
  { name: 'short reads and writes', ends: 'written', make: () => ({ isShort: true }) },
  { name: 'a sector lost its contents', ends: 'written', make: (about) => ({ unreadableByte: middleByte(about) }) },
  {
    name: 'nothing can be read any more',
    ends: 'refused',
    make: ({ random, operations }) => ({ unreadableFrom: random.between(operations - 2, operations + 1) }),
  },
  {
    name: 'a write to the first MiB is lost at the end',
    ends: 'refused',
    make: ({ random, operations }) => ({
      lost: { at: random.pick([510, 520, 1030]), from: operations - LAST_STEPS + 1 },
    }),
  },
  {
    name: 'a write to the last MiB is lost at the end',
    ends: 'refused',
    make: ({ random, sizeBytes, operations }) => ({
      lost: { at: sizeBytes - random.pick([33 * 512, 512]), from: operations - LAST_STEPS + 1 },
    }),
  },
  {
    name: 'a write in the middle is lost, VERIFY_DISK',
    ends: 'refused',
    verifyDisk: true,
    make: (about) => ({ lost: { at: middleByte(about), from: 1 } }),
  },
  { name: 'power cut', ends: 'either', make: (about) => ({ powerCutAt: anyOperation(about) }) },
  {
    name: 'power cut while the ends are written',
    ends: 'either',
    make: ({ random, operations }) => ({ powerCutAt: random.between(operations - LAST_STEPS, operations + 1) }),
  },
  {
    name: 'power cut, flushes are lies',
    ends: 'either',
    make: (about) => ({ powerCutAt: anyOperation(about), isLying: true }),
  },
];

/** Disks that fail, are full, do half of what they should, lose power or lie. */
export const badDisk: FaultPart = {
  name: 'bad-disk',
  summary:
    'Disks that fail a write, are full, do half of what they are asked, lose power with a cache, or lie about flushes.',
  rounds: DISK_FAULTS.length * SOURCES.length * 4,
  roundMs: 60_000,
  start: async ({ rounds, random }, cleanup) => {
    const place = await Place.make(random, cleanup);
    const all = DISK_FAULTS.flatMap((fault) => SOURCES.map((source) => ({ fault, source })));
    const cases = Array.from({ length: Math.ceil(rounds / all.length) }, () => random.shuffled(all)).flat();
    return {
      count: rounds,
      run: async (round, context, label) => {
        const chosen = cases[round - 1];
        assert.ok(chosen !== undefined);
        label(chosen.fault.name);
        return place.round(chosen.fault, chosen.source, context);
      },
    };
  },
};

class Place {
  readonly #random: Random;
  readonly #packed: PackedLibraryImage;
  readonly #contents: readonly DiskContents[];
  readonly #server: FaultyServer;
  /** Writes and flushes of a run without faults, by source and disk. */
  readonly #operations = new Map<string, number>();

  private constructor(
    random: Random,
    parts: { packed: PackedLibraryImage; contents: readonly DiskContents[]; server: FaultyServer },
  ) {
    this.#random = random;
    this.#packed = parts.packed;
    this.#contents = parts.contents;
    this.#server = parts.server;
  }

  static async make(random: Random, cleanup: AsyncDisposableStack): Promise<Place> {
    const image = await faultImage(IMAGE_MIB, random);
    const packed = await packedLibraryImage(image);
    const server = cleanup.use(await FaultyServer.start());
    for (const format of ['raw', 'gz', 'zst'] as const) server.files.set(`/${format}`, await compress(format, image));
    const digest = createHash('sha256').update(packed.files['index.json']).digest('hex');
    for (const folder of ['image', `sha256-${digest}`]) {
      for (const [file, bytes] of Object.entries(packed.files)) server.files.set(`/${folder}/${file}`, bytes);
    }
    const contents = [0, 3 * MIB + 512 * 8].map((more) => new DiskContents(image.length + more, image));
    return new Place(random, { packed, contents, server });
  }

  async round(fault: DiskFault, source: Source, { signal }: RoundContext): Promise<RoundResult> {
    const contents = this.#random.pick(this.#contents);
    const sizeBytes = contents.old.length;
    const operations = await this.#count(source, contents, signal);
    const faults = fault.make({ random: this.#random, sizeBytes, operations });
    const file = new ModelFile(contents.old, faults, this.#random);

    const error = await this.#write(file, source, signal, fault.verifyDisk);
    const found = faults.powerCutAt === undefined ? file.contents() : file.afterPowerCut();
    const state = contents.judge(found);

    const about = `${source}, ${JSON.stringify(faults)}: ${error?.message ?? 'written'}`;
    if (fault.ends !== 'either') assert.equal(error === undefined, fault.ends === 'written', about);
    assert.notEqual(state, 'bootable and not whole', about);
    if (error === undefined && faults.isLying !== true) assert.equal(state, 'image', about);
    if (error !== undefined && fault.ends === 'refused') {
      assert.ok(error.code === 'write_failed' && error.message.includes(DEVICE), `the error names no disk: ${about}`);
      const isLeftWell =
        fault.leaves === undefined ? ['zeros', 'old'].includes(state) : isOtherEndLeft(fault, faults, found);
      assert.ok(isLeftWell, `the disk is ${state}: ${about}`);
    }

    // The disk is a good one again, and as it was left.
    const repaired = new ModelFile(found, {}, this.#random);
    assert.equal((await this.#write(repaired, source, signal))?.message, undefined, `afterwards: ${about}`);
    assert.equal(contents.judge(repaired.contents()), 'image', `afterwards: ${about}`);
    return { label: fault.name };
  }

  async #count(source: Source, contents: DiskContents, signal: AbortSignal): Promise<number> {
    const key = `${source} ${contents.old.length}`;
    const known = this.#operations.get(key);
    if (known !== undefined) return known;
    const file = new ModelFile(contents.old, {}, this.#random);
    assert.equal(await this.#write(file, source, signal), undefined);
    this.#operations.set(key, file.operations);
    return file.operations;
  }

  async #write(
    file: ModelFile,
    source: Source,
    signal: AbortSignal,
    verifyDisk = false,
  ): Promise<TinsmithError | undefined> {
    const about = { device: DEVICE, sizeBytes: file.contents().length, logicalBlockBytes: 512 };
    await using disk = new FileDisk(file.handle(), about);
    const events = { signal, log: () => undefined, progress: () => undefined };
    const request = { proxy: {}, retryForMs: 20_000, verifyDisk };
    const { origin } = this.#server;
    try {
      if (source !== 'library') await writeImage(disk, { ...request, url: `${origin}/${source}` }, events);
      else {
        const library = { image: 'image', mirrors: [new URL(`${origin}/`)], publicKey: this.#packed.publicKey };
        await writeLibraryImage(disk, { ...request, ...library }, events);
      }
      return undefined;
    } catch (thrown) {
      signal.throwIfAborted();
      return TinsmithError.from(thrown);
    }
  }
}

/** The end that can be written is zeros. */
function isOtherEndLeft({ leaves }: DiskFault, { badByte }: DiskFaults, found: Buffer): boolean {
  if (leaves !== 'zeros at the other end') return true;
  const other = (badByte?.at ?? 0) < MIB ? found.subarray(-MIB) : found.subarray(0, MIB);
  return other.every((byte) => byte === 0);
}
