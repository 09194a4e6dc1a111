import { FRAME_BYTES, type LibraryFrame, type LibraryIndex } from '#proto/library-index.ts';
import type { Disk } from '../../machine/machine.ts';
import type { FrameStore } from './frame-store.ts';
import type { PeerExchange } from './peers/peer-exchange.ts';

/** What a slot does next: neighbouring frames with one request to a mirror, or one frame from another machine. */
export type FrameJob =
  | { readonly from: 'mirrors'; readonly frames: readonly LibraryFrame[] }
  | { readonly from: 'peers'; readonly frame: LibraryFrame };

export interface FrameQueueOptions {
  readonly disk: Disk;
  readonly index: LibraryIndex;
  readonly store: FrameStore;
  readonly signal: AbortSignal;
  /** Absent: the mirrors alone. */
  readonly exchange?: PeerExchange;
  /** A frame is on the disk. */
  readonly done: (frame: LibraryFrame, how: 'made' | 'kept') => void;
}

/** Who take frames from one queue, at most. */
export const MOST_READERS = 5;
/** Asked for with one request: large enough that the requests do not count, small enough that all slots get work. */
const REQUEST_BYTES = 8 << 20;
/** So many at most, however small: with peers it may be somebody else's turn soon, and after a cut these are what lies scattered. */
const MOST_FRAMES = 8;
/** Frames that all readers together may have left unwritten between others when a write was cut. */
const SCATTERED_FRAMES = MOST_READERS * MOST_FRAMES;
/** Frames that are looked at before a disk counts as new. */
const FEW_MISSES = 4;
/** One of so many is looked at when nothing is expected any more. */
const SKIPPED_FRAMES = 32;
/** 4 GiB: the disk does it by itself, and somebody wants to see progress. */
const FRAMES_OF_ZEROS = 1024;
/** Frames that are left for others to fetch first; when there are so many, they are seen to before the rest of the image. */
const MOST_LEFT = 4096;
/** One of so many is taken, so that machines that want the same frames do not all ask for the same one. */
const CHOICE = 32;

/** Which frame of its image it is, from 0 on. */
export function frameNumber({ imageOffset }: LibraryFrame): number {
  return imageOffset / FRAME_BYTES;
}

/**
 * Hands out the frames that have to be fetched, from the first to the last. Frames of zeros are made, and those that the disk holds
 * are passed over, on the way. With peers it leaves those that are another machine's turn to fetch, and comes back to them.
 */
export class FrameQueue {
  readonly #options: FrameQueueOptions;
  readonly #known = new KnownFrames();
  /** Left for others, by number. */
  readonly #left = new Map<number, LibraryFrame>();
  /** The first frame that nobody has looked at; the very first one has its own way. */
  #next = 1;

  constructor(options: FrameQueueOptions) {
    this.#options = options;
  }

  /** `raw` is overwritten. Undefined: there is nothing left. */
  async next(raw: Buffer, first: FrameJob['from']): Promise<FrameJob | undefined> {
    for (;;) {
      const offered = first === 'peers' ? this.#fromPeers() : undefined;
      if (offered !== undefined) return offered;
      const frames = await this.#nextRun(raw);
      if (frames.length > 0) return { from: 'mirrors', frames };
      const job = this.#comeBack() ?? this.#fromPeers();
      if (job !== undefined || this.#left.size === 0) return job;
      await this.#options.exchange?.wait();
    }
  }

  /** A frame that is somebody else's turn, or that a peer did not give. */
  giveBack(frame: LibraryFrame): void {
    this.#left.set(frameNumber(frame), frame);
  }

  /** Nobody needs to go on. */
  stop(): void {
    this.#next = this.#options.index.frames.length;
    this.#left.clear();
  }

  /** The next neighbouring frames that have to be fetched. Empty: none for now. */
  async #nextRun(raw: Buffer): Promise<readonly LibraryFrame[]> {
    const { signal, index, disk } = this.#options;
    const run = new FrameRun(this.#fairShare());
    while (this.#left.size < MOST_LEFT) {
      signal.throwIfAborted();
      const frame = index.frames[this.#next];
      if (frame === undefined || !run.hasRoomFor(frame)) break;
      const isMade = frame.sums === undefined && disk.makesZeros;
      if (isMade && run.frames.length > 0) break;
      if (isMade) {
        await this.#makeZeros();
        continue;
      }
      this.#next += 1;
      if (await this.#isToFetch(frame, raw)) run.add(frame);
      else if (run.frames.length > 0) break;
    }
    return run.frames;
  }

  /** Towards the end requests get smaller, so that no reader is left with much to do when the others are done. */
  #fairShare(): number {
    const left = this.#options.index.frames.length - this.#next;
    return Math.min(MOST_FRAMES, Math.ceil(left / (2 * MOST_READERS)));
  }

  /** Frames that were left for others, and are this machine's turn by now. */
  #comeBack(): FrameJob | undefined {
    const { exchange } = this.#options;
    const run = new FrameRun(MOST_FRAMES);
    for (const [number, frame] of this.#left) {
      if (run.hasRoomFor(frame) && exchange?.isOwn(number) !== false) run.add(frame);
      else if (run.frames.length > 0) break;
    }
    for (const frame of run.frames) this.#left.delete(frameNumber(frame));
    return run.frames.length > 0 ? { from: 'mirrors', frames: run.frames } : undefined;
  }

  #fromPeers(): FrameJob | undefined {
    const { exchange } = this.#options;
    if (exchange === undefined) return undefined;
    const choice: LibraryFrame[] = [];
    for (const [number, frame] of this.#left) {
      if (exchange.isOnOffer(number)) choice.push(frame);
      if (choice.length === CHOICE) break;
    }
    const frame = choice[Math.floor(Math.random() * choice.length)];
    if (frame === undefined) return undefined;
    this.#left.delete(frameNumber(frame));
    return { from: 'peers', frame };
  }

  /** All zeros that come next, in one go: the disk makes them by itself. */
  async #makeZeros(): Promise<void> {
    const { index, store, signal, done } = this.#options;
    const { frames } = index;
    const from = this.#next;
    while (
      this.#next - from < FRAMES_OF_ZEROS &&
      frames[this.#next]?.sums === undefined &&
      this.#next < frames.length
    ) {
      this.#next += 1;
    }
    const run = frames.slice(from, this.#next);
    await store.putZeros(run, signal);
    for (const frame of run) done(frame, 'made');
  }

  /** False: it is on the disk, or left for others. */
  async #isToFetch(frame: LibraryFrame, raw: Buffer): Promise<boolean> {
    if (await this.#isDone(frame, raw)) return false;
    const isOwn = this.#options.exchange?.isOwn(frameNumber(frame)) !== false;
    if (!isOwn) this.giveBack(frame);
    return isOwn;
  }

  async #isDone(frame: LibraryFrame, raw: Buffer): Promise<boolean> {
    const { store, signal, done } = this.#options;
    if (this.#known.isWorthALook()) {
      const isThere = await store.holds(frame, raw);
      this.#known.note(isThere);
      if (isThere) {
        done(frame, 'kept');
        return true;
      }
    }
    if (frame.sums !== undefined) return false;
    await store.putZeros([frame], signal);
    done(frame, 'made');
    return true;
  }
}

/** Frames that are neighbours in the file, for one request. */
class FrameRun {
  readonly frames: LibraryFrame[] = [];
  readonly #most: number;
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  hasRoomFor(frame: LibraryFrame): boolean {
    const last = this.frames.at(-1);
    if (last === undefined) return true;
    const isNext = last.fileOffset + last.fileBytes === frame.fileOffset;
    return isNext && this.frames.length < this.#most && this.#bytes + frame.fileBytes <= REQUEST_BYTES;
  }

  add(frame: LibraryFrame): void {
    this.frames.push(frame);
    this.#bytes += frame.fileBytes;
  }
}

/**
 * Whether it is worth reading the disk to see if a frame lies there. A new disk holds none of them, and reading it would cost as much
 * as writing it: after some misses only now and then one is looked at. A disk that was written halfway, or with another version of
 * the image, holds many: there the looking ends only behind all that readers of a cut write can have left out.
 */
class KnownFrames {
  #patience = FEW_MISSES;
  #misses = 0;
  #skipped = 0;

  isWorthALook(): boolean {
    if (this.#misses < this.#patience) return true;
    this.#skipped = (this.#skipped + 1) % SKIPPED_FRAMES;
    return this.#skipped === 0;
  }

  note(isThere: boolean): void {
    this.#misses = isThere ? 0 : this.#misses + 1;
    if (isThere) this.#patience = SCATTERED_FRAMES;
  }
}
