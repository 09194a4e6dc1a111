import { TinsmithError } from '#proto/errors.ts';
import { FRAME_BYTES, LARGEST_FRAME_BYTES, type LibraryFrame, type LibraryIndex } from '#proto/library-index.ts';
import { RECEIVE_BYTES } from '#transfer/socket-reader.ts';
import type { TransferEvents } from '#transfer/standstill.ts';
import { hasOwnSum } from '#transfer/zstd-frame.ts';
import type { Disk } from '../../machine/machine.ts';
import { DiskEnds, tooSmall } from '../disk-ends.ts';
import type { WrittenPiece } from '../disk-writer.ts';
import { type ReadBackEvents, type ReadBackMemory, readBack } from '../read-back.ts';
import { WriteMemory } from '../write-memory.ts';
import { FrameDecoder } from './frame-decoder.ts';
import { type FrameJob, FrameQueue, type FrameQueueOptions, frameNumber, MOST_READERS } from './frame-queue.ts';
import { FrameStore } from './frame-store.ts';
import {
  type FetchedIndex,
  type FetchMemory,
  fetchIndex,
  LibraryMirrors,
  type LibraryRequest,
  UnusableFrameError,
} from './library-mirrors.ts';
import { EXCHANGE_TIMING, PeerExchange } from './peers/peer-exchange.ts';

/** How far a write has come. */
export interface LibraryProgress {
  /** Bytes of the image that are on the disk, of how many. */
  readonly done: number;
  readonly total: number;
}

export interface LibraryEvents extends ReadBackEvents, TransferEvents {
  /** After every frame. */
  readonly progress: (progress: LibraryProgress) => void;
}

/** What a write did, for the log and for benchmarks. */
export interface LibraryWritten {
  readonly imageBytes: number;
  /** Numbers of the partitions that the kernel should show now. */
  readonly partitions: readonly number[];
  /** Over the network, whatever had to be fetched twice included. */
  readonly receivedBytes: number;
  /** Of the image, that lay on the disk already and were neither fetched nor written. */
  readonly keptBytes: number;
  /** The most that all buffers held at once. */
  readonly bufferBytes: number;
  /** Threads that summed up beside the agent's own. */
  readonly hashThreads: number;
  /** Of the image, from how many other machines; absent: none were asked. */
  readonly fromPeers?: { readonly bytes: number; readonly peers: number };
}

/**
 * Frames in work at once, each with memory for itself, for what it decodes to and for what its connection receives: 5 × 8.5 MiB. More
 * than the thread pool has threads, so that some wait for the network while others are checked, decoded and written.
 */
const SLOTS = MOST_READERS;
/** When frames are given to other machines, too, whose memory is that of a slot. */
const SLOTS_WITH_PEERS = 4;
/** A frame that came damaged this often, and more often than there are mirrors, will not come whole any more. */
const TRIES_OF_A_FRAME = 4;

/**
 * Writes a library image to a disk: frames are fetched with ranges, checked, decoded, checked again and written, several at once and
 * in no strict order; frames of zeros are made; frames that the disk holds already are left. Both ends of the disk come last, so a
 * disk on which anything went wrong does not boot. It keeps no state elsewhere: run again, after whatever ended it, it finds by their
 * sums which frames are on the disk and fetches only the others. Throws TinsmithError.
 */
export async function writeLibraryImage(
  disk: Disk,
  request: LibraryRequest,
  events: LibraryEvents,
): Promise<LibraryWritten> {
  const fetched = await fetchIndex(request, events);
  const { index } = fetched;
  if (index.imageBytes > disk.sizeBytes) throw tooSmall(disk, `has ${index.imageBytes}`);
  const ends = new DiskEnds(disk);
  await using memory = new WriteMemory();
  // What one reader failed by ends the others, who may be waiting for a server that does not come back.
  const failing = new AbortController();
  const working = { ...events, signal: AbortSignal.any([events.signal, failing.signal]) };
  await using exchange = await startExchange(disk, request, fetched, { memory, ...working });
  const mirrors = new LibraryMirrors(request, fetched, working);
  const parts = { disk, index, mirrors, memory, events: working, ...(exchange && { exchange }) };
  const run = new LibraryRun({ ...parts, fail: (thrown) => failing.abort(thrown) });
  try {
    await run.readFirst((head) => ends.check(head));
    await ends.wipe();
    await exchange?.ready();
    await run.writeAll();
    events.signal.throwIfAborted();
    await disk.flush();
    const { head, tail } = run.store;
    const image = { head, tail, bytes: index.imageBytes };
    if (request.verifyDisk === true) {
      await readBack(disk, { ...image, pieces: pieces(index) }, run.readBackMemory, events);
    }
    const partitions = await ends.commit(image, events.log);
    return {
      imageBytes: index.imageBytes,
      partitions,
      receivedBytes: mirrors.receivedBytes,
      keptBytes: run.keptBytes,
      bufferBytes: memory.peakBytes,
      hashThreads: memory.hashThreads,
      ...(exchange && { fromPeers: { bytes: exchange.bytes, peers: exchange.givers } }),
    };
  } catch (thrown) {
    await ends.wipeAgain();
    throw thrown;
  } finally {
    run.close();
  }
}

/** Undefined when the image is not to be shared; when it cannot be, it is written without. */
async function startExchange(
  disk: Disk,
  { peers: directory, peerTiming: timing = EXCHANGE_TIMING }: LibraryRequest,
  { index: { frames }, digest }: FetchedIndex,
  { memory, signal, log }: LibraryEvents & { readonly memory: WriteMemory },
): Promise<PeerExchange | undefined> {
  if (directory === undefined) return undefined;
  const readers = SLOTS_WITH_PEERS;
  try {
    return await PeerExchange.start({ directory, digest, frames, disk, memory, signal, log, timing, readers });
  } catch (thrown) {
    log(`cannot share the image with other machines: ${TinsmithError.from(thrown).message}`);
    return undefined;
  }
}

/** Memory and decoder of one frame in work. */
interface Slot {
  readonly fetched: FetchMemory;
  readonly raw: Buffer;
  readonly decoder: FrameDecoder;
}

interface LibraryRunOptions {
  readonly disk: Disk;
  readonly index: LibraryIndex;
  readonly mirrors: LibraryMirrors;
  readonly memory: WriteMemory;
  readonly events: LibraryEvents;
  readonly exchange?: PeerExchange;
  /** Ends everything that is under way. */
  readonly fail: (thrown: unknown) => void;
}

class LibraryRun {
  readonly store: FrameStore;
  keptBytes = 0;
  readonly #index: LibraryIndex;
  readonly #mirrors: LibraryMirrors;
  readonly #memory: WriteMemory;
  readonly #events: LibraryEvents;
  readonly #exchange: PeerExchange | undefined;
  readonly #queue: FrameQueue;
  readonly #slots: readonly Slot[];
  readonly #fail: LibraryRunOptions['fail'];
  readonly #damaged = new Map<number, number>();
  #doneBytes = 0;

  constructor({ disk, index, mirrors, memory, events, exchange, fail }: LibraryRunOptions) {
    this.#fail = fail;
    this.store = new FrameStore(disk, memory);
    this.#index = index;
    this.#mirrors = mirrors;
    this.#memory = memory;
    this.#events = events;
    this.#exchange = exchange;
    const done: FrameQueueOptions['done'] = (frame, how) => {
      if (how === 'kept') this.keptBytes += frame.imageBytes;
      this.#count(frame);
    };
    const { signal } = events;
    this.#queue = new FrameQueue({ disk, index, store: this.store, signal, done, ...(exchange && { exchange }) });
    const slots = exchange === undefined ? SLOTS : SLOTS_WITH_PEERS;
    this.#slots = memory.aligned(slots, FRAME_BYTES).map((raw) => ({
      raw,
      fetched: { frame: memory.plain(LARGEST_FRAME_BYTES), received: memory.plain(RECEIVE_BYTES) },
      decoder: new FrameDecoder(),
    }));
  }

  /** The slots' own: nothing is decoded any more when it is used. */
  get readBackMemory(): ReadBackMemory {
    return { buffers: this.#slots.map(({ raw }) => raw), sums: this.#memory };
  }

  /** The first frame holds the partition table: `check` sees it before anything is written, and before more is fetched. */
  async readFirst(check: (head: Buffer) => void): Promise<void> {
    const { first, slot } = this.#start();
    if (first.sums === undefined) return check(this.store.head);
    await this.#mirrors.read([first], slot.fetched, (frame, bytes) => this.#decode(frame, bytes, slot));
    check(slot.raw);
  }

  /** After `readFirst`, whose frame is still in the memory of the first slot. */
  async writeAll(): Promise<void> {
    const { first, slot } = this.#start();
    if (first.sums === undefined) await this.store.putZeros([first], this.#events.signal);
    else await this.store.put(first, slot.raw);
    this.#count(first);
    // Half of the slots look to the other machines first, so that these and the server are busy at once.
    const results = await Promise.allSettled(
      this.#slots.map((slot, place) => this.#work(slot, place % 2 === 0 ? 'mirrors' : 'peers')),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  #start(): { readonly first: LibraryFrame; readonly slot: Slot } {
    const [first, slot] = [this.#index.frames[0], this.#slots[0]];
    if (first === undefined || slot === undefined) throw new TinsmithError('corrupt_image', 'the image has no frames');
    return { first, slot };
  }

  close(): void {
    for (const { decoder } of this.#slots) decoder.close();
  }

  async #work(slot: Slot, first: FrameJob['from']): Promise<void> {
    try {
      for (;;) {
        const job = await this.#queue.next(slot.raw, first);
        if (job === undefined) return;
        await (job.from === 'peers' ? this.#takeFromPeers(job.frame, slot) : this.#takeFromMirrors(job.frames, slot));
      }
    } catch (thrown) {
      // The others need not go on: what is missing is missing.
      this.#queue.stop();
      this.#fail(thrown);
      throw thrown;
    }
  }

  async #takeFromMirrors(frames: readonly LibraryFrame[], slot: Slot): Promise<void> {
    await this.#mirrors.read(frames, slot.fetched, async (frame, bytes) => {
      await this.#decode(frame, bytes, slot);
      await this.#put(frame, slot.raw);
    });
  }

  async #takeFromPeers(frame: LibraryFrame, slot: Slot): Promise<void> {
    const memory = { into: slot.raw, received: slot.fetched.received };
    if ((await this.#exchange?.fetch(frameNumber(frame), frame, memory)) !== true) return this.#queue.giveBack(frame);
    await this.store.put(frame, slot.raw);
    this.#count(frame);
  }

  /** Throws what makes the mirrors ask again, unless it came damaged too often. */
  async #decode(frame: LibraryFrame, bytes: Buffer, { raw, decoder }: Slot): Promise<void> {
    if (frame.sums === undefined) return;
    if ((await this.#memory.sha256(bytes)) !== frame.sums.file) {
      const tries = (this.#damaged.get(frame.fileOffset) ?? 0) + 1;
      this.#damaged.set(frame.fileOffset, tries);
      const fact = `the frame at byte ${frame.fileOffset} of the library image came damaged`;
      if (tries < Math.max(TRIES_OF_A_FRAME, this.#mirrors.count + 1))
        throw new TinsmithError('checksum_mismatch', fact);
      const sentence = `${fact} ${tries} times: check the mirrors, and the library with tinsmith image verify`;
      throw new UnusableFrameError(new TinsmithError('checksum_mismatch', sentence));
    }
    const image = raw.subarray(0, frame.imageBytes);
    try {
      await decoder.decode(bytes, image);
    } catch (thrown) {
      throw new UnusableFrameError(TinsmithError.from(thrown));
    }
    // Its SHA-256 vouches for the frame, and the frame's own sum, which the decoder has compared, for what it decodes to.
    if (hasOwnSum(bytes, frame.imageBytes) || (await this.#memory.sha256(image)) === frame.sums.image) return;
    const sentence = `the frame at byte ${frame.fileOffset} of the library image decodes to other bytes than its index says`;
    throw new UnusableFrameError(new TinsmithError('checksum_mismatch', sentence));
  }

  /** What the disk refuses, no mirror can mend. */
  async #put(frame: LibraryFrame, raw: Buffer): Promise<void> {
    try {
      await this.store.put(frame, raw);
    } catch (thrown) {
      throw new UnusableFrameError(TinsmithError.from(thrown, 'write_failed'));
    }
    this.#count(frame);
  }

  #count(frame: LibraryFrame): void {
    // What lies in an end of the disk is not there before the very last.
    if (frame.sums !== undefined && this.store.isInTheMiddle(frame)) this.#exchange?.note(frameNumber(frame));
    this.#doneBytes += frame.imageBytes;
    this.#events.progress({ done: this.#doneBytes, total: this.#index.imageBytes });
  }
}

function* pieces({ frames }: LibraryIndex): Generator<WrittenPiece> {
  for (const { sums, ...place } of frames) yield { ...place, sha256: sums?.image };
}
