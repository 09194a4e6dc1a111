import { SingleFile } from '#transfer/archive/single-file.ts';
import { isTar, TarParser } from '#transfer/archive/tar-parser.ts';
import { decoders } from '#transfer/decoders.ts';
import { type Decoder, FORMAT_BYTES, recognizeFormat } from '#transfer/image-format.ts';
import { type ImageSink, putBytes } from '#transfer/image-sink.ts';
import type { UnwrappingSink } from '../write/write-image.ts';

const BLOCK_BYTES = 1 << 20;

/**
 * Between a layer and the disk: a layer that is a tar file gives the one file that is in it, decompressed if it is compressed
 * inside; any other is the image itself.
 */
export class LayerSink implements UnwrappingSink {
  readonly #inner: ImageSink;
  readonly #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  #filled = 0;
  #tar: TarContent | undefined;
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
    await this.#tar?.finish();
  }

  close(): void {
    this.#tar?.close();
  }

  async #flush(): Promise<void> {
    const block = this.#block.subarray(0, this.#filled);
    this.#filled = 0;
    if (!this.#isPlain && this.#tar === undefined) this.#start(block);
    await (this.#tar === undefined ? putBytes(this.#inner, block) : this.#tar.push(block));
  }

  #start(block: Buffer): void {
    if (isTar(block)) {
      this.#tar = new TarContent(this.#inner);
    } else {
      recognizeFormat(block);
      this.#isPlain = true;
    }
  }
}

/** Decompresses the only file of an archive. */
class TarContent {
  readonly #inner: ImageSink;
  readonly #file = new SingleFile((bytes) => this.#put(bytes));
  readonly #parser = new TarParser(this.#file);
  /** Until there is enough to tell what it is. */
  #start: Buffer = Buffer.alloc(0);
  #decoder: Decoder | undefined;

  constructor(inner: ImageSink) {
    this.#inner = inner;
  }

  async push(block: Buffer): Promise<void> {
    await this.#parser.push(block);
  }

  async finish(): Promise<void> {
    this.#parser.end();
    this.#file.finish();
    if (this.#decoder === undefined) await this.#decide();
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
    this.#decoder = decoders[recognizeFormat(this.#start)](this.#inner);
    await this.#decoder.push(this.#start);
    this.#start = Buffer.alloc(0);
  }
}
