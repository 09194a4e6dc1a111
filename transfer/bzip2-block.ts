import { TinsmithError } from '#proto/errors.ts';

// bzip2 has no standard document; the layout is the one of bzip2 1.0: run-length coding, Burrows-Wheeler transform, move to
// front, Huffman codes that change every 50 symbols.

/** The input ends inside a block or a header. */
export class EndOfInput extends Error {}

const GROUP_SYMBOLS = 50;
const LONGEST_CODE = 20;
/** Codes up to this length are found with one look into a table. */
const FAST_BITS = 10;
/** A block of nothing but runs becomes 46 MB: it is given out in pieces. */
const PIECE_BYTES = 1 << 20;
/** What one symbol adds at most. */
const LONGEST_RUN = 255;

interface HuffmanTable {
  /** Index: the next FAST_BITS bits; value: length << 16 | symbol, 0 for longer codes. */
  readonly fast: Uint32Array;
  /** Per length: the largest code (left aligned comparisons are not needed), the offset into `symbols`. */
  readonly limit: Int32Array;
  readonly base: Int32Array;
  readonly symbols: Uint16Array;
}

/** Reads bits and blocks from a buffer that holds all of what it is asked for. */
export class Bzip2Block {
  #input: Buffer = Buffer.alloc(0);
  #at = 0;
  #bits = 0;
  #bitCount = 0;
  #blockBytes = 900_000;
  readonly #order = new Uint32Array(900_000);
  readonly #output = Buffer.allocUnsafeSlow(PIECE_BYTES);

  start(input: Buffer): void {
    this.#input = input;
  }

  /** Bytes taken from the input, with the one whose bits are partly read. */
  position(): number {
    return this.#at;
  }

  /** The input was cut at `position`. */
  rebase(): void {
    this.#at = 0;
  }

  isAtEnd(): boolean {
    return this.#bitCount === 0 && this.#at >= this.#input.length;
  }

  alignToByte(): void {
    this.#bitCount -= this.#bitCount % 8;
    this.#bits &= (1 << this.#bitCount) - 1;
  }

  /** Up to 24 bits, most significant first. */
  readBits(count: number): number {
    while (this.#bitCount < count) {
      const byte = this.#input[this.#at];
      if (byte === undefined) throw new EndOfInput();
      this.#at += 1;
      this.#bits = ((this.#bits << 8) | byte) >>> 0;
      this.#bitCount += 8;
    }
    this.#bitCount -= count;
    const value = (this.#bits >>> this.#bitCount) & ((1 << count) - 1);
    this.#bits &= (1 << this.#bitCount) - 1;
    return value;
  }

  readUint32(): number {
    return this.readBits(16) * 65_536 + this.readBits(16);
  }

  readStreamHeader(): void {
    const magic = this.readBits(24);
    const level = this.readBits(8) - 0x30;
    if (magic !== 0x425a68 || level < 1 || level > 9) throw damaged('something that is no bzip2 stream follows');
    this.#blockBytes = level * 100_000;
  }

  /**
   * One block behind its start mark and checksum, in pieces of up to 1 MiB that are valid until the next one is asked for. The checksum is
   * compared behind the last one.
   */
  *decode(checksum: number): Generator<Buffer> {
    if (this.readBits(1) === 1)
      throw damaged('it uses the randomised blocks of bzip2 0.9, which nobody writes any more');
    const origin = this.readBits(24);
    const used = this.#readUsedBytes();
    const tableCount = this.readBits(3);
    if (tableCount < 2 || tableCount > 6) throw damaged('the number of tables is wrong');
    const selectors = this.#readSelectors(tableCount);
    const tables = Array.from({ length: tableCount }, () => this.#readTable(used.length + 2));
    const length = this.#readSymbols(used, selectors, tables);
    if (origin >= length) throw damaged('the start of a block is wrong');
    this.#untransform(length);
    let crc = FIRST_CRC;
    for (const piece of this.#expandRuns(length, origin)) {
      crc = addToCrc(crc, piece);
      yield piece;
    }
    if (~crc >>> 0 !== checksum) throw damaged('the checksum of a block is wrong');
  }

  #readUsedBytes(): Uint8Array {
    const groups = this.readBits(16);
    const used: number[] = [];
    for (let group = 0; group < 16; group++) {
      if (((groups >> (15 - group)) & 1) === 0) continue;
      const bits = this.readBits(16);
      for (let i = 0; i < 16; i++) if (((bits >> (15 - i)) & 1) === 1) used.push(group * 16 + i);
    }
    if (used.length === 0) throw damaged('a block uses no bytes');
    return Uint8Array.from(used);
  }

  #readSelectors(tableCount: number): Uint8Array {
    const count = this.readBits(15);
    if (count === 0) throw damaged('a block has no selectors');
    const selectors = new Uint8Array(count);
    const front = Array.from({ length: tableCount }, (_, i) => i);
    for (let i = 0; i < count; i++) {
      let place = 0;
      while (this.readBits(1) === 1) place += 1;
      const [table] = front.splice(place, 1);
      if (table === undefined) throw damaged('a selector is wrong');
      front.unshift(table);
      selectors[i] = table;
    }
    return selectors;
  }

  #readTable(symbolCount: number): HuffmanTable {
    const lengths = new Uint8Array(symbolCount);
    let length = this.readBits(5);
    for (let i = 0; i < symbolCount; i++) {
      for (;;) {
        if (length < 1 || length > LONGEST_CODE) throw damaged('a code length is wrong');
        if (this.readBits(1) === 0) break;
        length += this.readBits(1) === 0 ? 1 : -1;
      }
      lengths[i] = length;
    }
    return huffmanTable(lengths);
  }

  /** Huffman codes and move to front, into the low bytes of `order`. Returns the length of the block. */
  #readSymbols(used: Uint8Array, selectors: Uint8Array, tables: readonly HuffmanTable[]): number {
    const front = Uint8Array.from(used);
    const order = this.#order;
    const endSymbol = used.length + 1;
    let length = 0;
    let run = 0;
    let runBit = 1;
    for (let group = 0; ; group++) {
      const table = tables[selectors[group] ?? 255];
      if (table === undefined) throw damaged('a block has too few selectors');
      for (let i = 0; i < GROUP_SYMBOLS; i++) {
        const symbol = this.#readSymbol(table);
        if (symbol < 2) {
          run += runBit << symbol;
          runBit <<= 1;
          this.#requireRoom(run);
          continue;
        }
        if (run > 0) {
          this.#requireRoom(length + run);
          order.fill(front[0] ?? 0, length, length + run);
          length += run;
          run = 0;
          runBit = 1;
        }
        if (symbol === endSymbol) return length;
        this.#requireRoom(length + 1);
        const place = symbol - 1;
        const byte = front[place] ?? 0;
        front.copyWithin(1, 0, place);
        front[0] = byte;
        order[length++] = byte;
      }
    }
  }

  #requireRoom(length: number): void {
    if (length > this.#blockBytes) throw damaged('a block is too long');
  }

  #readSymbol(table: HuffmanTable): number {
    while (this.#bitCount < FAST_BITS) {
      const byte = this.#input[this.#at];
      if (byte === undefined) return this.#readSlowly(table, 1, this.readBits(1));
      this.#at += 1;
      this.#bits = (this.#bits << 8) | byte;
      this.#bitCount += 8;
    }
    const found = table.fast[(this.#bits >>> (this.#bitCount - FAST_BITS)) & ((1 << FAST_BITS) - 1)] ?? 0;
    if (found === 0) return this.#readSlowly(table, FAST_BITS, this.readBits(FAST_BITS));
    this.#bitCount -= found >>> 16;
    this.#bits &= (1 << this.#bitCount) - 1;
    return found & 0xffff;
  }

  #readSlowly(table: HuffmanTable, bits: number, start: number): number {
    for (let length = bits, code = start; length <= LONGEST_CODE; length++) {
      if (code <= (table.limit[length] ?? -1)) {
        const symbol = table.symbols[code - (table.base[length] ?? 0)];
        if (symbol !== undefined) return symbol;
      }
      code = (code << 1) | this.readBits(1);
    }
    throw damaged('a code is wrong');
  }

  /** The inverse Burrows-Wheeler transform: the high bytes of `order` become where each byte's successor is. */
  #untransform(length: number): void {
    const order = this.#order;
    const starts = new Uint32Array(257);
    for (let i = 0; i < length; i++)
      starts[((order[i] ?? 0) & 0xff) + 1] = (starts[((order[i] ?? 0) & 0xff) + 1] ?? 0) + 1;
    for (let byte = 1; byte < 257; byte++) starts[byte] = (starts[byte] ?? 0) + (starts[byte - 1] ?? 0);
    for (let i = 0; i < length; i++) {
      const byte = (order[i] ?? 0) & 0xff;
      const place = starts[byte] ?? 0;
      starts[byte] = place + 1;
      order[place] = (order[place] ?? 0) | (i << 8);
    }
  }

  /** The outer run-length coding: four equal bytes are followed by how many more of them there are. */
  *#expandRuns(length: number, origin: number): Generator<Buffer> {
    const order = this.#order;
    const output = this.#output;
    let size = 0;
    let entry = order[origin] ?? 0;
    let last = -1;
    let repeats = 0;
    for (let i = 0; i < length; i++) {
      entry = order[entry >>> 8] ?? 0;
      const byte = entry & 0xff;
      const isCount = repeats === 4;
      const value = isCount ? last : byte;
      const end = size + (isCount ? byte : 1);
      while (size < end) output[size++] = value;
      repeats = isCount ? 0 : byte === last ? repeats + 1 : 1;
      last = isCount ? -1 : byte;
      if (size <= PIECE_BYTES - LONGEST_RUN) continue;
      yield output.subarray(0, size);
      size = 0;
    }
    if (repeats === 4) throw damaged('a run has no length');
    yield output.subarray(0, size);
  }
}

function huffmanTable(lengths: Uint8Array): HuffmanTable {
  const symbols: number[] = [];
  const limit = new Int32Array(LONGEST_CODE + 1).fill(-1);
  const base = new Int32Array(LONGEST_CODE + 1);
  const fast = new Uint32Array(1 << FAST_BITS);
  let code = 0;
  for (let length = 1; length <= LONGEST_CODE; length++) {
    base[length] = code - symbols.length;
    for (const [symbol, symbolLength] of lengths.entries()) {
      if (symbolLength !== length) continue;
      if (code >= 1 << length) throw damaged('a code table is wrong');
      if (length <= FAST_BITS) {
        const spare = FAST_BITS - length;
        fast.fill((length << 16) | symbol, code << spare, (code + 1) << spare);
      }
      symbols.push(symbol);
      limit[length] = code;
      code += 1;
    }
    code <<= 1;
  }
  return { fast, limit, base, symbols: Uint16Array.from(symbols) };
}

/** CRC-32 with the bits in plain order: polynomial 0x04c11db7, not reflected. */
const CRC = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let i = 0; i < 8; i++) crc = crc & 0x8000_0000 ? (crc << 1) ^ 0x04c1_1db7 : crc << 1;
  return crc;
});

const FIRST_CRC = 0xffff_ffff;

function addToCrc(before: number, bytes: Buffer): number {
  let crc = before;
  for (let i = 0; i < bytes.length; i++) crc = (crc << 8) ^ (CRC[((crc >>> 24) ^ (bytes[i] ?? 0)) & 0xff] ?? 0);
  return crc;
}

function damaged(fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `the image is damaged: in its bzip2 data ${fact}`);
}
