import { TinsmithError } from '#proto/errors.ts';
import { decoders } from '#transfer/decoders.ts';
import { type Decoder, FORMAT_BYTES, recognizeFormat } from '#transfer/image-format.ts';
import { type ImageSink, putBytes } from '#transfer/image-sink.ts';
import { shownName, type TarEntry, type TarHandler, TarParser } from '../archive/tar-parser.ts';
import type { UnwrappingSink } from '../write/write-image.ts';

const BLOCK_BYTES = 1 << 20;
const ZEROS = Buffer.alloc(64 * 1024);

/**
 * Between a layer and the disk: a layer that is a tar file gives the one file that is in it, decompressed if it is compressed
 * inside; any other is the image itself.
 */
export class LayerSink implements UnwrappingSink {
  readonly #inner: ImageSink;
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #filled = 0;
  #file: SingleFile | undefined;
  #parser: TarParser | undefined;
  #isPlain = false;

  constructor(inner: ImageSink) {
    this.#inner = inner;
  }

  space(): Buffer {
    return this.#block.subarray(this.#filled);
  }

  async advance(bytes: number): Promise<void> {
    this.#filled += bytes;
    if (this.#filled === BLOCK_BYTES) await this.#flush();
  }

  async finish(): Promise<void> {
    await this.#flush();
    this.#parser?.end();
    await this.#file?.finish();
  }

  close(): void {
    this.#file?.close();
  }

  async #flush(): Promise<void> {
    const block = this.#block.subarray(0, this.#filled);
    this.#filled = 0;
    if (!this.#isPlain && this.#parser === undefined) this.#start(block);
    await (this.#parser === undefined ? putBytes(this.#inner, block) : this.#parser.push(block));
  }

  #start(block: Buffer): void {
    if (block.toString('latin1', 257, 262) === 'ustar') {
      this.#file = new SingleFile(this.#inner);
      this.#parser = new TarParser(this.#file);
    } else {
      recognizeFormat(block);
      this.#isPlain = true;
    }
  }
}

/** The content of the only file of an archive. */
class SingleFile implements TarHandler {
  readonly #inner: ImageSink;
  #name: string | undefined;
  #isCurrent = false;
  #position = 0;
  /** Until there is enough to tell what it is. */
  #start: Buffer = Buffer.alloc(0);
  #decoder: Decoder | undefined;

  constructor(inner: ImageSink) {
    this.#inner = inner;
  }

  async entry({ kind, name }: TarEntry): Promise<void> {
    this.#isCurrent = kind === 'file';
    if (kind !== 'file') return;
    if (this.#name !== undefined) {
      const fact = `it holds ${shownName(this.#name)} and ${shownName(name)}`;
      throw new TinsmithError('corrupt_image', `the layer is a tar file with more than one file: ${fact}`);
    }
    this.#name = name;
  }

  async data(bytes: Buffer, offset: number): Promise<void> {
    for (let gap = offset - this.#position; gap > 0; gap -= ZEROS.length) await this.#put(ZEROS.subarray(0, gap));
    await this.#put(bytes);
    this.#position = offset + bytes.length;
  }

  async entryEnd(): Promise<void> {
    if (this.#isCurrent) await this.#decide();
  }

  async finish(): Promise<void> {
    if (this.#name === undefined) throw new TinsmithError('corrupt_image', 'the layer is a tar file without a file');
    await this.#decoder?.end();
  }

  close(): void {
    this.#decoder?.close();
  }

  async #put(bytes: Buffer): Promise<void> {
    if (this.#decoder !== undefined) {
      await this.#decoder.push(bytes);
      return;
    }
    this.#start = Buffer.concat([this.#start, bytes]);
    if (this.#start.length >= FORMAT_BYTES) await this.#decide();
  }

  async #decide(): Promise<void> {
    if (this.#decoder !== undefined) return;
    this.#decoder = decoders[recognizeFormat(this.#start)](this.#inner);
    await this.#decoder.push(this.#start);
    this.#start = Buffer.alloc(0);
  }
}
