import {
  extendedAttributes,
  joinRepeatedSparse,
  overrule,
  PaxMapReader,
  type PaxRecords,
  parsePaxRecords,
  paxSparse,
} from './pax-records.ts';
import {
  BLOCK_BYTES,
  type DataPiece,
  damaged,
  gnuSparsePieces,
  gnuSparseRealSize,
  parseTarHeader,
  type TarHeader,
} from './tar-header.ts';

/** What an entry makes. */
export type TarEntryKind = 'file' | 'directory' | 'symbolicLink' | 'hardLink' | 'character' | 'block' | 'fifo';

/** One entry, with what its extended headers overrule. */
export interface TarEntry extends Omit<TarHeader, 'type' | 'sizeBytes'> {
  readonly kind: TarEntryKind;
  /** Of the file as it is used, holes included. */
  readonly sizeBytes: number;
  /** By the kernel's names. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** Told what the archive holds, in its order. */
export interface TarHandler {
  entry(entry: TarEntry): Promise<void>;
  /** Of the latest entry, a file. Ascending offsets; what is left out is zeros. Valid until it resolves. */
  data(bytes: Buffer, offset: number): Promise<void>;
  /** All data of the latest entry has come. */
  entryEnd(): Promise<void>;
}

const KINDS: Readonly<Record<string, TarEntryKind>> = {
  '0': 'file',
  S: 'file',
  '1': 'hardLink',
  '2': 'symbolicLink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  // GNU: a directory with a list of its files behind it.
  D: 'directory',
  '6': 'fifo',
};

/** Longest extended header or name, all that come before one entry, and longest map: attributes have 64 KiB each. */
const LONGEST_META = 4 << 20;
/** All global extended headers together: every entry is read with what they say. */
const LONGEST_GLOBAL = 256 << 10;
/** As many pieces as the longest map of GNU's old format, 24 bytes each, may name. */
const MOST_PIECES = Math.floor(LONGEST_META / 24);

type State = 'header' | 'meta' | 'sparseMore' | 'sparseMap' | 'data' | 'end';

/**
 * Reads a tar stream in pieces of any length: ustar, pax (with sparse 0.0, 0.1 and 1.0), GNU (long names, sparse, base 256)
 * and v7. What stands behind the two blocks of zeros is not looked at, as with tar(1).
 */
export class TarParser {
  readonly #handler: TarHandler;
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #blockFilled = 0;
  #state: State = 'header';
  /** What extended headers said for the next entry, and for all that follow. */
  #next = new Map<string, Buffer>();
  #global: PaxRecords = new Map();
  #meta: { readonly type: string; readonly parts: Buffer[] } = { type: '', parts: [] };
  /** Of all extended headers since the last entry. */
  #metaBytes = 0;
  #header: TarHeader | undefined;
  /** Stored bytes that are left of the entry, and zeros behind them up to a whole block. */
  #left = 0;
  #padding = 0;
  #pieces: DataPiece[] = [];
  /** The piece that is being read, and how much of it was. */
  #pieceAt = 0;
  #pieceDone = 0;
  #realBytes = 0;
  readonly #map = new PaxMapReader();

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /** Whether the end of the archive was seen. */
  get hasEnded(): boolean {
    return this.#state === 'end';
  }

  async push(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length && this.#state !== 'end'; ) {
      const rest = chunk.subarray(at);
      if (this.#state === 'data') at += await this.#takeData(rest);
      else if (this.#state === 'meta') at += this.#takeMeta(rest);
      else at += await this.#takeBlock(rest);
    }
  }

  /** Throws `corrupt_image` when it stops in the middle of something. */
  end(): void {
    const isBetween = this.#state === 'header' && this.#blockFilled === 0 && this.#next.size === 0;
    if (this.#state !== 'end' && !isBetween) throw damaged('it is cut short');
  }

  async #takeBlock(bytes: Buffer): Promise<number> {
    const count = bytes.copy(this.#block, this.#blockFilled);
    this.#blockFilled += count;
    if (this.#blockFilled < BLOCK_BYTES) return count;
    this.#blockFilled = 0;
    if (this.#state === 'header') await this.#readHeader();
    else if (this.#state === 'sparseMore') await this.#readMorePieces();
    else await this.#readSparseMap();
    return count;
  }

  async #readHeader(): Promise<void> {
    const header = parseTarHeader(this.#block);
    if (header === undefined) {
      this.#state = 'end';
      return;
    }
    if ('xgLKX'.includes(header.type)) {
      this.#startMeta(header);
      return;
    }
    const pax = new Map([...this.#global, ...this.#next]);
    this.#header = overrule(header, pax);
    // Old programs repeat the size of the file in hard links to it; nothing follows them, as with tar(1).
    this.#left = header.type === '1' ? 0 : this.#header.sizeBytes;
    this.#padding = (BLOCK_BYTES - (this.#left % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#pieceAt = 0;
    this.#pieceDone = 0;
    if (header.type === 'S') {
      const { pieces, goesOn } = gnuSparsePieces(this.#block, 'header');
      this.#realBytes = gnuSparseRealSize(this.#block);
      this.#pieces = [...pieces];
      this.#state = 'sparseMore';
      if (!goesOn) await this.#startEntry();
      return;
    }
    const sparse = paxSparse(pax);
    this.#realBytes = sparse?.realBytes ?? this.#left;
    this.#pieces = sparse === undefined ? [{ offset: 0, lengthBytes: this.#left }] : [];
    if (sparse?.pieces === 'inData') {
      this.#state = 'sparseMap';
      return;
    }
    if (sparse !== undefined) this.#pieces = [...sparse.pieces];
    await this.#startEntry();
  }

  #startMeta(header: TarHeader): void {
    if (header.sizeBytes > LONGEST_META) throw damaged(`an extended header has ${header.sizeBytes} bytes`);
    this.#meta = { type: header.type, parts: [] };
    this.#left = header.sizeBytes;
    this.#padding = (BLOCK_BYTES - (this.#left % BLOCK_BYTES)) % BLOCK_BYTES;
    this.#state = 'meta';
    if (this.#left === 0) this.#finishMeta();
  }

  #takeMeta(bytes: Buffer): number {
    const wanted = bytes.subarray(0, this.#left);
    this.#meta.parts.push(Buffer.from(wanted));
    this.#left -= wanted.length;
    const skipped = this.#left === 0 ? this.#skipPadding(bytes.length - wanted.length) : 0;
    if (this.#left === 0 && this.#padding === 0) this.#finishMeta();
    return wanted.length + skipped;
  }

  #finishMeta(): void {
    const { type, parts } = this.#meta;
    const body = Buffer.concat(parts);
    this.#state = 'header';
    this.#metaBytes += body.length;
    if (this.#metaBytes > LONGEST_META) throw damaged('the extended headers before an entry do not end');
    if (type === 'L' || type === 'K') {
      const end = body.indexOf(0);
      this.#next.set(type === 'L' ? 'path' : 'linkpath', end === -1 ? body : body.subarray(0, end));
      return;
    }
    const records = parsePaxRecords(body);
    const map = joinRepeatedSparse(body);
    if (map !== undefined) records.set('GNU.sparse.map', map);
    if (type === 'g') this.#takeGlobal(records);
    else for (const [key, value] of records) this.#next.set(key, value);
  }

  #takeGlobal(records: PaxRecords): void {
    this.#global = new Map([...this.#global, ...records]);
    let bytes = 0;
    for (const [key, value] of this.#global) bytes += key.length + value.length;
    if (bytes > LONGEST_GLOBAL) throw damaged(`its global extended headers hold more than ${LONGEST_GLOBAL} bytes`);
  }

  async #readMorePieces(): Promise<void> {
    const { pieces, goesOn } = gnuSparsePieces(this.#block, 'more');
    this.#pieces.push(...pieces);
    if (this.#pieces.length > MOST_PIECES) throw damaged('the map of a sparse file does not end');
    if (!goesOn) await this.#startEntry();
  }

  async #readSparseMap(): Promise<void> {
    this.#left -= BLOCK_BYTES;
    const pieces = this.#left < 0 ? undefined : this.#map.take(this.#block);
    if (this.#left < 0 || this.#map.lengthBytes > LONGEST_META) throw damaged('the map of a sparse file does not end');
    if (pieces === undefined) return;
    this.#pieces = [...pieces];
    await this.#startEntry();
  }

  async #startEntry(): Promise<void> {
    const { type, ...header } = this.#header ?? noHeader();
    const xattrs = extendedAttributes(new Map([...this.#global, ...this.#next]));
    this.#next = new Map();
    this.#metaBytes = 0;
    this.#state = 'data';
    const kind = KINDS[type];
    if (kind === undefined && type !== 'V') {
      throw damaged(`${shownName(header.name)} is of type ${JSON.stringify(type)}, which no program here unpacks`);
    }
    if (kind !== 'file') {
      // Whatever follows (the list behind a GNU directory) is no content.
      this.#pieces = [];
    } else {
      this.#requireFit(header.name);
    }
    if (kind !== undefined) {
      await this.#handler.entry({ ...header, kind, xattrs, sizeBytes: kind === 'file' ? this.#realBytes : 0 });
    }
    this.#header = { ...header, type };
    if (this.#left + this.#padding === 0) await this.#finishEntry();
  }

  /** The pieces are exactly what is stored, in order, and inside the file. */
  #requireFit(name: string): void {
    let end = 0;
    let stored = 0;
    for (const piece of this.#pieces) {
      if (piece.offset < end || piece.offset + piece.lengthBytes > this.#realBytes) {
        throw damaged(`the map of ${shownName(name)} leads outside the file`);
      }
      end = piece.offset + piece.lengthBytes;
      stored += piece.lengthBytes;
    }
    if (stored !== this.#left) throw damaged(`the map of ${shownName(name)} does not match what is stored`);
  }

  async #takeData(bytes: Buffer): Promise<number> {
    let taken = 0;
    while (this.#left > 0 && taken < bytes.length) {
      const piece = this.#pieces[this.#pieceAt];
      const room = piece === undefined ? this.#left : piece.lengthBytes - this.#pieceDone;
      const part = bytes.subarray(taken, taken + Math.min(room, this.#left));
      if (piece !== undefined) {
        if (part.length > 0) await this.#handler.data(part, piece.offset + this.#pieceDone);
        this.#pieceDone += part.length;
        if (this.#pieceDone === piece.lengthBytes) {
          this.#pieceAt += 1;
          this.#pieceDone = 0;
        }
      }
      taken += part.length;
      this.#left -= part.length;
    }
    if (this.#left === 0) taken += this.#skipPadding(bytes.length - taken);
    if (this.#left + this.#padding === 0) await this.#finishEntry();
    return taken;
  }

  async #finishEntry(): Promise<void> {
    this.#state = 'header';
    const type = this.#header?.type ?? '';
    if (KINDS[type] !== undefined) await this.#handler.entryEnd();
  }

  #skipPadding(available: number): number {
    const skipped = Math.min(this.#padding, available);
    this.#padding -= skipped;
    return skipped;
  }
}

function noHeader(): never {
  throw damaged('a file has no header');
}

/** What the first block of all but the oldest archives says. */
export function isTar(start: Buffer): boolean {
  return start.toString('latin1', 257, 262) === 'ustar';
}

/** For sentences: file names are usually UTF-8. */
export function shownName(name: string): string {
  return JSON.stringify(Buffer.from(name, 'latin1').toString('utf8').slice(0, 200));
}
