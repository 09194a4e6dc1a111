import { crc32 } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import { decoders } from '#transfer/decoders.ts';
import { RestartDownloadError } from '#transfer/download-errors.ts';
import type { Decoder, ImageFormat } from '#transfer/image-format.ts';
import { type ImageSink, putBytes } from '#transfer/image-sink.ts';
import type { ProgramFilter } from '../machine/program-filter.ts';

/** Starts a program of the boot environment; undefined when there is none such. */
export type StartFilter = (argv: readonly string[]) => Promise<ProgramFilter | undefined>;

/**
 * Programs that decode faster than what the agent brings. igzip takes two thirds of zlib's time and leaves the agent's own threads free;
 * xz decodes the blocks of a file on all processors, and a block 1.6 times as fast as its WebAssembly build. It takes a quarter of the
 * memory at most, and fewer processors where that is not enough.
 */
const PROGRAMS: Partial<Readonly<Record<ImageFormat, readonly string[]>>> = {
  gz: ['igzip', '--decompress', '--stdout'],
  xz: ['xz', '--decompress', '--stdout', '--threads=0', '--memlimit-mt-decompress=25%', '--no-sparse'],
};

/** The fastest decoder of a format that there is here: a program, or our own. */
export async function fastestDecoder(
  format: ImageFormat,
  sink: ImageSink,
  startFilter: StartFilter | undefined,
): Promise<{ readonly decoder: Decoder; readonly program?: string }> {
  const argv = PROGRAMS[format];
  const filter = argv === undefined ? undefined : await startFilter?.(argv);
  if (argv === undefined || filter === undefined) return { decoder: decoders[format](sink) };
  const decoder = format === 'gz' ? oneMember(filter, sink) : programDecoder(filter, sink, format);
  return { decoder, program: argv[0] ?? '' };
}

/** A program did not say enough: the whole download starts again and is decoded by the agent itself. */
export class UnsureDecoderError extends RestartDownloadError {}

/**
 * igzip ends well at whatever it does not take for another member, so a damaged second member would pass for garbage behind the first.
 * Its output counts only if it is all that the file says at its very end: CRC-32 and length of one member (RFC 1952 2.3.1).
 */
function oneMember(filter: ProgramFilter, sink: ImageSink): Decoder {
  let trailer: Buffer = Buffer.alloc(0);
  let crc = 0;
  let bytes = 0;
  const decoder = programDecoder(filter, sink, 'gz', (output) => {
    crc = crc32(output, crc);
    bytes += output.length;
  });
  return {
    ...decoder,
    async push(input) {
      trailer = Buffer.concat([trailer, input.subarray(-TRAILER_BYTES)]).subarray(-TRAILER_BYTES);
      await decoder.push(input);
    },
    async end() {
      await decoder.end();
      const isWhole = trailer.readUInt32LE(0) === crc && trailer.readUInt32LE(4) === bytes % 2 ** 32;
      if (isWhole) return;
      throw unsure('the image is no single gz member, as igzip decodes it');
    },
  };
}

const TRAILER_BYTES = 8;
/** Not to be executed, not found, and whatever a signal ended: as shells say it. */
const LEAST_FOREIGN_CODE = 126;

function unsure(fact: string): UnsureDecoderError {
  return new UnsureDecoderError(new TinsmithError('corrupt_image', `${fact}: the agent decodes it by itself`));
}

function programDecoder(
  filter: ProgramFilter,
  sink: ImageSink,
  format: ImageFormat,
  look: (output: Buffer) => void = () => undefined,
): Decoder {
  const pumping = pump(filter, sink, look);
  // It is met by `push` and `end`; until then nobody listens.
  pumping.catch(() => undefined);
  let isEnded = false;

  /** Why the program takes no more. One that ended well too early, could not run or was killed says nothing of the image. */
  const failure = async (): Promise<never> => {
    await pumping;
    const { exitCode, complaint } = await filter.result();
    const fact = complaint === '' ? `the program ended with ${exitCode}` : (complaint.split('\n').at(-1) ?? '');
    if (exitCode === 0 || exitCode >= LEAST_FOREIGN_CODE) throw unsure(`${format} was not decoded: ${fact}`);
    throw new TinsmithError('corrupt_image', `the image is damaged: its ${format} data does not decode (${fact})`);
  };

  return {
    push: (input) => filter.write(input).catch(failure),
    async end() {
      isEnded = true;
      filter.end();
      await pumping;
      if ((await filter.result()).exitCode !== 0) await failure();
    },
    close: () => {
      if (!isEnded) filter.close();
    },
    settled: () => pumping.catch(() => undefined),
  };
}

async function pump(filter: ProgramFilter, sink: ImageSink, look: (output: Buffer) => void): Promise<void> {
  try {
    for (let bytes = await filter.read(); bytes !== undefined; bytes = await filter.read()) {
      look(bytes);
      await putBytes(sink, bytes);
    }
  } catch (thrown) {
    // Nobody reads it any more, so it would wait for ever.
    filter.close();
    throw thrown;
  }
}
