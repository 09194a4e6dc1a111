import type { Image2diskParams } from '#proto/actions/image2disk.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { Disk } from '../machine/machine.ts';
import { writeLibraryImage } from '../write/library/write-library-image.ts';
import { type ImageProgress, type WriteEvents, writeImage } from '../write/write-image.ts';
import type { ActionContext } from './action-context.ts';
import { everySoOften, settleImage } from './image-on-disk.ts';

/** Streams an image to a disk and makes its partitions known to the kernel. */
export async function image2disk(params: Image2diskParams, context: ActionContext): Promise<void> {
  const { log } = context;
  const startedAt = performance.now();
  const written = await writeExclusively(params, context);
  await settleImage(params.disk, written.partitions, context);
  const seconds = (performance.now() - startedAt) / 1000;
  const rate = (written.imageBytes / 1e6 / seconds).toFixed(0);
  const summary = `wrote ${written.imageBytes} bytes (${written.how}) to ${params.disk}`;
  log('agent', `${summary} in ${seconds.toFixed(1)} s, ${rate} MB/s, ${written.partitions.length} partition(s)`);
}

/** What was written, in words for the log. */
interface Written {
  readonly imageBytes: number;
  readonly partitions: readonly number[];
  readonly how: string;
}

async function writeExclusively(params: Image2diskParams, context: ActionContext): Promise<Written> {
  await using disk = await context.machine.openDisk(params.disk, context);
  const { image } = params;
  return 'url' in image
    ? await writeUrl(disk, image.url, params, context)
    : await writeFromLibrary(disk, image.library, params, context);
}

async function writeUrl(disk: Disk, url: string, params: Image2diskParams, context: ActionContext): Promise<Written> {
  const { log, progress, standstill, signal } = context;
  const line = everySoOften(params.progressEveryMs);
  const { format, ...written } = await writeImage(
    disk,
    { ...params, url, startFilter: (argv) => context.machine.startFilter(argv) },
    {
      ...readBackEvents(params, context),
      signal,
      log: (text) => log('agent', text),
      standstill,
      progress: (state) => {
        progress({ done: state.done, ...(state.total === undefined ? {} : { total: state.total }) });
        line(() => log('agent', progressLine(state)));
      },
    },
  );
  return { ...written, how: format };
}

async function writeFromLibrary(
  disk: Disk,
  image: string,
  params: Image2diskParams,
  context: ActionContext,
): Promise<Written> {
  const { facts, log, peers, progress, standstill, signal } = context;
  if (facts.library === undefined) {
    throw new TinsmithError('unsupported', `cannot write library:${image}: this server has no image library`);
  }
  const mirrors = facts.library.mirrors.map((mirror) => new URL(mirror));
  const line = everySoOften(params.progressEveryMs);
  const { receivedBytes, keptBytes, bufferBytes, hashThreads, fromPeers, ...written } = await writeLibraryImage(
    disk,
    {
      ...params,
      image,
      mirrors,
      publicKey: facts.library.publicKey,
      ...(facts.library.peers === true && peers && { peers }),
    },
    {
      ...readBackEvents(params, context),
      signal,
      log: (text) => log('agent', text),
      standstill,
      progress: ({ done, total }) => {
        progress({ done, total });
        line(() => log('agent', `${done} of ${total} bytes (${Math.floor((done / total) * 100)} %) are on the disk`));
      },
    },
  );
  if (fromPeers !== undefined) {
    const [given, served] = [Math.round(fromPeers.bytes / 1e6), Math.round(receivedBytes / 1e6)];
    log('agent', `got ${given} MB from ${fromPeers.peers} peer(s), ${served} MB from the server`);
  }
  const threads = hashThreads === 1 ? '1 thread' : `${hashThreads} threads`;
  log('agent', `buffers took ${Math.ceil(bufferBytes / 2 ** 20)} MiB at most, ${threads} of their own summed up`);
  return { ...written, how: `from the library, ${receivedBytes} bytes fetched, ${keptBytes} were on the disk already` };
}

/** Reading back begins from 0 again: it is a second way through the whole image. */
function readBackEvents({ progressEveryMs }: Image2diskParams, context: ActionContext): Pick<WriteEvents, 'readBack'> {
  const line = everySoOften(progressEveryMs);
  return {
    readBack: ({ done, total }) => {
      context.progress({ done, total });
      line(() => context.log('agent', `read back ${done} of ${total} bytes (${Math.floor((done / total) * 100)} %)`));
    },
  };
}

export function progressLine({ done, total, written }: ImageProgress): string {
  const share = total === undefined || total === 0 ? '' : ` (${Math.floor((done / total) * 100)} %)`;
  return `downloaded ${done} bytes${share}, written ${written}`;
}
