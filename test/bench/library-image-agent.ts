/**
 * One run of the agent's library write path in a process of its own: `library-image-agent.ts MIRROR NAME KEY-FILE DEVICE [STOP-AT]`;
 * prints one line of JSON. With STOP-AT (0 to 1) it ends, as by a power cut, when that share of the image is on the disk.
 */
import { readFile } from 'node:fs/promises';
import { openBlockDevice } from '#agent/machine/block-device.ts';
import { writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import { ownUsage } from './own-usage.ts';

const [mirror = '', image = '', keyFile = '', device = '', stopAt = '2'] = process.argv.slice(2);
const publicKey = await readFile(keyFile, 'utf8');
const stop = new AbortController();
const startedAt = performance.now();
const request = {
  image,
  mirrors: [new URL(mirror)],
  publicKey,
  proxy: {},
  retryForMs: 10_000,
};
let doneBytes = 0;
let receivedBytes = 0;
let keptBytes = 0;
let bufferBytes = 0;
let arrayBuffers = 0;
let progressEvents = 0;
/** Asking how much memory there is takes longer than a frame's sum. */
const MEMORY_EVERY = 16;
try {
  await using disk = await openBlockDevice(device, device);
  const written = await writeLibraryImage(disk, request, {
    signal: stop.signal,
    log: () => undefined,
    progress: ({ done, total }) => {
      progressEvents += 1;
      if (progressEvents % MEMORY_EVERY === 0)
        arrayBuffers = Math.max(arrayBuffers, process.memoryUsage().arrayBuffers);
      doneBytes = done;
      if (done / total >= Number(stopAt)) stop.abort(new Error('stopped'));
    },
  });
  ({ receivedBytes, keptBytes, bufferBytes } = written);
} catch (thrown) {
  if (!stop.signal.aborted) throw thrown;
}
const seconds = (performance.now() - startedAt) / 1000;
const memory = {
  buffersMiB: bufferBytes / 2 ** 20,
  arrayBuffersMiB: arrayBuffers / 2 ** 20,
};
console.log(JSON.stringify({ seconds, doneBytes, receivedBytes, keptBytes, ...memory, ...ownUsage() }));
