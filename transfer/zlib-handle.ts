import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import type { Decoder } from './image-format.ts';
import type { ImageSink } from './image-sink.ts';
import { trailingData } from './trailing-data.ts';

// Node's zlib streams allocate and copy every chunk of output: 410-520 MB/s for zstd. Their native handle decodes into memory
// that we choose, the aligned write buffers, in the thread pool: 1240-1520 MB/s, more than the zstd program. The handle is
// not a documented interface; the agent carries its own pinned Node, and the tests beside decode every format through it.

/** What the native handle of a zlib stream offers (lib/zlib.js of Node 24). */
interface NativeHandle {
  init(...settings: unknown[]): void;
  /** Asynchronous; one at a time. */
  write(
    flush: number,
    input: Uint8Array,
    inputOffset: number,
    inputLength: number,
    output: Uint8Array,
    outputOffset: number,
    outputLength: number,
  ): void;
  close(): void;
}

/** gz with any number of members and zero padding behind them (RFC 1952; padding as gzip(1) accepts it). */
export function gunzipDecoder(sink: ImageSink): Decoder {
  return nativeDecoder(sink, createGunzip(), constants.GUNZIP, (handle, state, done) =>
    handle.init(15, constants.Z_DEFAULT_COMPRESSION, 8, constants.Z_DEFAULT_STRATEGY, state, done, undefined),
  );
}

/** zst with any number of frames and skippable frames (RFC 8878), windows up to 128 MiB. */
export function zstdDecoder(sink: ImageSink): Decoder {
  return nativeDecoder(sink, createZstdDecompress(), constants.ZSTD_DECOMPRESS, (handle, state, done) => {
    // 0xffffffff: leave a parameter alone. The array is indexed by parameter.
    const parameters = new Uint32Array(constants.ZSTD_d_windowLogMax + 1).fill(0xffff_ffff);
    parameters[constants.ZSTD_d_windowLogMax] = 27;
    handle.init(parameters, undefined, state, done);
  });
}

type Init = (handle: NativeHandle, state: Uint32Array, done: () => void) => void;

function nativeDecoder(sink: ImageSink, stream: object, mode: number, init: Init): Decoder {
  const handle = newHandle(stream, mode);
  // After a write: what is left of the output and of the input.
  const state = new Uint32Array(2);
  let written = Promise.withResolvers<void>();
  /** Bytes of the file that were taken, and given. */
  let taken = 0;
  let given = 0;
  const format = mode === constants.GUNZIP ? 'gz' : 'zst';
  Object.assign(handle, {
    onerror: (message: string, _errno: number, code: string) =>
      written.reject(isNoHead(message, code) ? trailingData(format, taken, given) : corrupt(message, code)),
  });
  init(handle, state, () => written.resolve());

  const step = async (flush: number, input: Uint8Array, offset: number): Promise<Progress> => {
    const space = sink.space();
    const length = input.length - offset;
    written = Promise.withResolvers();
    handle.write(flush, input, offset, length, space, 0, space.length);
    await written.promise;
    const [outputLeft = 0, inputLeft = 0] = state;
    const made = space.length - outputLeft;
    taken += length - inputLeft;
    if (made > 0) await sink.advance(made);
    return { taken: length - inputLeft, made, isFull: outputLeft === 0 };
  };

  let isPadding = false;
  return {
    async push(input) {
      const start = given;
      given += input.length;
      let offset = isPadding ? onlyZeros(input, start, 0) : 0;
      // Output may remain inside the decoder when the space was used up, even when all input is taken.
      for (let isFull = false; offset < input.length || isFull; ) {
        const progress = await step(constants.Z_NO_FLUSH, input, offset);
        offset += progress.taken;
        isFull = progress.isFull;
        if (progress.taken === 0 && progress.made === 0 && offset < input.length) {
          offset = onlyZeros(input, start, offset);
          isPadding = true;
        }
      }
    },
    async end() {
      if (isPadding) return;
      const finish = mode === constants.GUNZIP ? constants.Z_FINISH : constants.ZSTD_e_end;
      for (let isFull = true; isFull; ) isFull = (await step(finish, new Uint8Array(0), 0)).isFull;
    },
    close: () => handle.close(),
  };
}

interface Progress {
  readonly taken: number;
  readonly made: number;
  readonly isFull: boolean;
}

/** The decoder wants no more: only zeros may follow. `start` is where in the file the input begins. */
function onlyZeros(input: Uint8Array, start: number, offset: number): number {
  const other = input.subarray(offset).findIndex((byte) => byte !== 0);
  if (other !== -1) throw trailingData('gz', start + offset + other);
  return input.length;
}

/** Of the first member or frame it is known that it starts as one, so this is about what follows behind another one. */
function isNoHead(message: string, code: string): boolean {
  return message === 'incorrect header check' || code === 'ZSTD_error_prefix_unknown';
}

function newHandle(stream: object, mode: number): NativeHandle {
  const template: unknown = Reflect.get(stream, '_handle');
  if (typeof template === 'object' && template !== null) {
    const handle: unknown = Reflect.construct(template.constructor, [mode]);
    Reflect.apply(Reflect.get(template, 'close'), template, []);
    if (isNativeHandle(handle)) return handle;
  }
  throw new TinsmithError('internal', `zlib of Node ${process.version} has no native handle of the known shape`);
}

function isNativeHandle(value: unknown): value is NativeHandle {
  const isMethod = (name: string): boolean => typeof Reflect.get(Object(value), name) === 'function';
  return ['init', 'write', 'close'].every(isMethod);
}

function corrupt(message: string, code: string): TinsmithError {
  if (code === 'ZSTD_error_frameParameter_windowTooLarge') {
    const fix = 'compress it again, with zstd --long=27 at most';
    return new TinsmithError('unsupported', `cannot unpack the image: its zstd window is larger than 128 MiB: ${fix}`);
  }
  const isCut = code === 'Z_BUF_ERROR';
  const sentence = isCut
    ? 'the image is cut short: its compressed data ends too early'
    : `the image is damaged: ${message}`;
  return new TinsmithError('corrupt_image', sentence);
}
