import { crc32 } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import type { Download } from '#transfer/download.ts';
import { recognizeFormat } from '#transfer/image-format.ts';
import type { Disk } from '../machine/machine.ts';
import { type DiskEnds, END_BYTES } from './disk-ends.ts';
import { type DiskWriter, PIECE_BYTES } from './disk-writer.ts';
import { readPiece } from './read-back.ts';
import { type JournalSubject, WriteJournal } from './write-journal.ts';

/** How often the journal is written: each time the disk is flushed. */
const SAVE_EVERY_MS = 5_000;
/** What is fetched faster than this is worth no journal: 16 MiB. */
const LEAST_PIECES = 4;

/** These say nothing against what is on the disk. */
const PASSING: readonly string[] = ['download_failed', 'unavailable', 'timed_out', 'cancelled', 'lost'];

/**
 * What a run of writeImage does so that the next one need not fetch everything again. For raw images that a strong ETag
 * names and whose sum is known: what an earlier run left is then verified as a whole, whoever it was that left it.
 */
export class WriteResume {
  readonly #disk: Disk;
  readonly #writer: DiskWriter;
  readonly #journal: WriteJournal;
  readonly #totalBytes: number;
  readonly #everyMs: number;
  #isOn = false;
  #saving: Promise<void> = Promise.resolve();
  #isSaving = false;
  #savedAt = performance.now();
  #savedPieces = 0;
  /** What an earlier run said, until it is known whether it is so. */
  #claimed: readonly number[] = [];

  constructor(writer: DiskWriter, subject: JournalSubject, everyMs = SAVE_EVERY_MS) {
    this.#everyMs = everyMs;
    this.#disk = writer.disk;
    this.#writer = writer;
    this.#journal = new WriteJournal(this.#disk, subject);
    this.#totalBytes = subject.totalBytes;
  }

  /** The image is raw: what is written from here on is worth a journal. */
  begin(): void {
    this.#isOn = true;
    this.#writer.keepChecks();
  }

  /**
   * Looks for what an earlier run left on the disk, checks it, and makes download and writer go on behind it. `each` gets what was
   * found, in order. Resolves with the number of bytes; 0: there is nothing.
   */
  async takeUp(
    download: Download,
    ends: DiskEnds,
    { signal, each }: { readonly signal: AbortSignal; readonly each: (bytes: Buffer) => void },
  ): Promise<number> {
    const checks = await this.#journal.load();
    if (checks.length === 0) return 0;
    // It is not on the disk: it comes last.
    const head = await readHead(download);
    if (recognizeFormat(head) === 'raw') {
      ends.check(head);
      this.begin();
      this.#claimed = checks;
      await ends.wipeStart();
      head.copy(this.#writer.head);
      // The last piece is fetched in any case: the download ends by itself then.
      await this.#adopt(checks.slice(0, Math.ceil(this.#totalBytes / PIECE_BYTES) - 1), signal, each);
      this.#claimed = [];
      this.#savedPieces = this.#writer.bytes / PIECE_BYTES;
    }
    download.goTo(this.#writer.bytes);
    return this.#writer.bytes;
  }

  /** To be called often; writes the journal when it is time. Throws what the last time ended with. */
  async note(): Promise<void> {
    if (!this.#isOn || this.#isSaving) return;
    await this.#saving;
    if (performance.now() - this.#savedAt < this.#everyMs) return;
    this.#savedAt = performance.now();
    const checks = this.#writer.safeChecks();
    if (checks.length === this.#savedPieces) return;
    this.#savedPieces = checks.length;
    this.#isSaving = true;
    this.#saving = this.#save(checks).finally(() => {
      this.#isSaving = false;
    });
    // It is met at the next call or by `finish`.
    this.#saving.catch(() => undefined);
  }

  /** Waits for what is under way and throws what it ended with: a disk says only once that it lost what it had taken. */
  async finish(): Promise<void> {
    await this.#saving;
  }

  /** Waits for what is under way, however it ends; the ends may be written then. */
  async settle(): Promise<void> {
    await this.#saving.catch(() => undefined);
  }

  /** After a failure, when nothing is in flight and the ends are wiped. What cannot be kept is only fetched again. */
  async keepAfter(thrown: unknown): Promise<void> {
    if (!this.#isOn || !PASSING.includes(TinsmithError.from(thrown).code)) return;
    const safe = this.#writer.safeChecks();
    await this.#save(safe.length > this.#claimed.length ? safe : this.#claimed)
      .then(() => this.#disk.flush())
      .catch(() => undefined);
  }

  async #save(checks: readonly number[]): Promise<void> {
    if (checks.length < LEAST_PIECES) return;
    await this.#disk.flush();
    await this.#journal.save(checks);
  }

  /** As many pieces as are on the disk as the journal says. Several are read at once. */
  async #adopt(checks: readonly number[], signal: AbortSignal, each: (bytes: Buffer) => void): Promise<void> {
    const { buffers } = this.#writer.readBackMemory;
    const look = async (index: number): Promise<Buffer | undefined> => {
      const memory = buffers[index % buffers.length];
      if (memory === undefined || index >= checks.length) return undefined;
      const found = await readPiece(this.#disk, this.#writer, placeOf(index), memory);
      return crc32(found) === checks[index] ? found : undefined;
    };
    // What cannot be read is written again: that may heal it.
    const lookFor = (index: number): ReturnType<typeof look> => look(index).catch(() => undefined);
    const looking = buffers.map((_, index) => lookFor(index));
    try {
      for (const [index, check] of checks.entries()) {
        signal.throwIfAborted();
        const found = await looking[index % buffers.length];
        if (found === undefined) return;
        each(found);
        await this.#writer.adopt(found, check);
        looking[index % buffers.length] = lookFor(index + buffers.length);
      }
    } finally {
      await Promise.all(looking);
    }
  }
}

function placeOf(index: number): { readonly imageOffset: number; readonly imageBytes: number } {
  return { imageOffset: index * PIECE_BYTES, imageBytes: PIECE_BYTES };
}

/** The first MiB. */
async function readHead(download: Download): Promise<Buffer> {
  const head = Buffer.alloc(END_BYTES);
  let filled = 0;
  for await (const chunk of download) {
    const part = chunk.subarray(0, END_BYTES - filled);
    head.set(part, filled);
    filled += part.length;
    if (filled === END_BYTES) break;
  }
  return head;
}
