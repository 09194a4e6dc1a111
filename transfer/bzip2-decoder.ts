import { TinsmithError } from '#proto/errors.ts';
import { Bzip2Block, EndOfInput } from './bzip2-block.ts';
import type { Decoder } from './image-format.ts';
import { type ImageSink, putBytes } from './image-sink.ts';
import { trailingData } from './trailing-data.ts';

/**
 * No block is longer: 900 000 symbols of at most 20 bits, and its tables. With that much input a block decodes without
 * running dry, so the decoder itself need not be able to pause.
 */
const ENOUGH_BYTES = 2_400_000;
const BLOCK_START = 0x314159265359;
const STREAM_END = 0x177245385090;
/** As far as the input goes. */
const STREAM_START = /^(B|BZ|BZh|BZh[1-9])$/;

/** bz2 with any number of streams one after the other. Ours, because nothing on npm is fast, streaming and strict. */
export function bzip2Decoder(sink: ImageSink): Decoder {
  let pending = Buffer.alloc(0);
  /** Bytes of the file before `pending`. */
  let passed = 0;
  const block = new Bzip2Block();
  let stream: { crc: number } | undefined;

  /** Reads one stream head, block or stream end; false when the input is used up at a place where a file may end. */
  const readNext = async (): Promise<boolean> => {
    if (stream === undefined) {
      block.alignToByte();
      if (block.isAtEnd()) return false;
      const at = block.position();
      if (!STREAM_START.test(pending.toString('latin1', at, at + 4))) throw trailingData('bz2', passed + at);
      block.readStreamHeader();
      stream = { crc: 0 };
    }
    const kind = block.readBits(24) * 0x1000000 + block.readBits(24);
    const expected = block.readUint32();
    if (kind === BLOCK_START) {
      for (const piece of block.decode(expected)) await putBytes(sink, piece);
      stream.crc = (((stream.crc << 1) | (stream.crc >>> 31)) ^ expected) >>> 0;
      return true;
    }
    if (kind !== STREAM_END) throw damaged('a bzip2 block has no start');
    if (expected !== stream.crc) throw damaged('the checksum of a bzip2 stream is wrong');
    stream = undefined;
    return true;
  };

  return {
    async push(input) {
      pending = Buffer.concat([pending, input]);
      block.start(pending);
      while (pending.length - block.position() >= ENOUGH_BYTES) await readNext();
      passed += block.position();
      pending = pending.subarray(block.position());
      // Bits of the last byte that were read already stay with the block.
      block.rebase();
    },
    async end() {
      block.start(pending);
      try {
        while (await readNext());
      } catch (thrown) {
        if (!(thrown instanceof EndOfInput)) throw thrown;
        throw new TinsmithError('corrupt_image', 'the image is cut short: its bzip2 data ends too early');
      }
      if (stream !== undefined) throw damaged('its bzip2 data has no end');
    },
    close: () => undefined,
  };
}

function damaged(fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `the image is damaged: ${fact}`);
}
