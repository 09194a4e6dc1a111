import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { TinsmithError } from '#proto/errors.ts';
import { decoders } from '#transfer/decoders.ts';
import { RestartDownloadError } from '#transfer/download-errors.ts';
import type { Decoder, ImageFormat } from '#transfer/image-format.ts';
import { type ImageSink, putBytes } from '#transfer/image-sink.ts';
import { XzWalker } from '#transfer/xz-walker.ts';
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

const MARK_BYTES = 32;

/** The fastest decoder of a format that there is here: a program, or our own. */
export async function fastestDecoder(
  format: ImageFormat,
  sink: ImageSink,
  startFilter: StartFilter | undefined,
): Promise<{ readonly decoder: Decoder; readonly program?: string }> {
  const argv = PROGRAMS[format];
  const filter = argv === undefined ? undefined : await startFilter?.(argv);
  if (argv === undefined || filter === undefined) return { decoder: decoders[format](sink) };
  const decoder = format === 'gz' ? gzMembers(filter, sink) : xzStreams(filter, sink);
  return { decoder, program: argv[0] ?? '' };
}

/** A program did not say enough: the whole download starts again and is decoded by the agent itself. */
export class UnsureDecoderError extends RestartDownloadError {}

/**
 * igzip checks member after member, but ends well at whatever does not start as one does: a second member whose first bytes are damaged
 * passes for garbage behind the first. So a member of our own is put behind the file, and what it holds must be the end of the output.
 *
 * Why that proves it: igzip decodes what stands at a place only where all before it was whole members, each with its CRC-32 and length
 * (RFC 1952 2.3.1). Nobody knows the mark before, so it comes out of our member alone: the file in front of it was members up to its
 * last byte. Where the mark was swallowed as the rest of a member cut short, the output ends before or the exit code is not 0.
 */
function gzMembers(filter: ProgramFilter, sink: ImageSink): Decoder {
  const mark = randomBytes(MARK_BYTES);
  /** The last bytes of the output, which may be the mark. */
  let held: Buffer = Buffer.alloc(0);
  const decoder = programDecoder(filter, 'gz', async (output) => {
    const due = Math.max(0, held.length + output.length - MARK_BYTES);
    const dueOfHeld = Math.min(due, held.length);
    const dueOfOutput = due - dueOfHeld;
    await putBytes(sink, held.subarray(0, dueOfHeld));
    await putBytes(sink, output.subarray(0, dueOfOutput));
    held = Buffer.concat([held.subarray(dueOfHeld), output.subarray(dueOfOutput)]);
  });
  return {
    ...decoder,
    async end() {
      await decoder.push(gzipSync(mark));
      await decoder.end();
      if (!held.equals(mark)) throw unsure('igzip does not take all of the image for gz');
    },
  };
}

/** xz checks all that it is given, but takes what follows behind the image for a stream cut short: the walker knows better, and where. */
function xzStreams(filter: ProgramFilter, sink: ImageSink): Decoder {
  const decoder = programDecoder(filter, 'xz', (bytes) => putBytes(sink, bytes));
  const walker = new XzWalker();
  let isLost = false;
  const follow = (step: () => unknown): void => {
    try {
      if (!isLost) step();
    } catch (thrown) {
      isLost = true;
      if (walker.trailingAt !== undefined) throw thrown;
    }
  };
  return {
    ...decoder,
    async push(input) {
      follow(() => [...walker.walk(input)]);
      await decoder.push(input);
    },
    async end() {
      follow(() => walker.end());
      await decoder.end();
    },
  };
}

/** Not to be executed, not found, and whatever a signal ended: as shells say it. */
const LEAST_FOREIGN_CODE = 126;

function unsure(fact: string): UnsureDecoderError {
  return new UnsureDecoderError(new TinsmithError('corrupt_image', `${fact}: the agent decodes it by itself`));
}

function programDecoder(filter: ProgramFilter, format: ImageFormat, put: (output: Buffer) => Promise<void>): Decoder {
  const pumping = pump(filter, put);
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

async function pump(filter: ProgramFilter, put: (output: Buffer) => Promise<void>): Promise<void> {
  try {
    for (let bytes = await filter.read(); bytes !== undefined; bytes = await filter.read()) {
      await put(bytes);
    }
  } catch (thrown) {
    // Nobody reads it any more, so it would wait for ever.
    filter.close();
    throw thrown;
  }
}
