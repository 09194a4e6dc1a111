/** One run of the agent's write path in a process of its own: `write-image-agent.ts URL DEVICE`; prints one line of JSON. */
import { openBlockDevice } from '#agent/machine/block-device.ts';
import { startFilter } from '#agent/machine/program-filter.ts';
import { writeImage } from '#agent/write/write-image.ts';
import { ownUsage } from './own-usage.ts';

const [url = '', device = ''] = process.argv.slice(2);
const startedAt = performance.now();
let imageBytes: number;
let bufferBytes: number;
{
  await using disk = await openBlockDevice(device, device);
  const written = await writeImage(
    disk,
    { url, proxy: {}, retryForMs: 10_000, startFilter },
    { signal: AbortSignal.timeout(600_000), log: () => undefined, progress: () => undefined },
  );
  ({ imageBytes, bufferBytes } = written);
}
const seconds = (performance.now() - startedAt) / 1000;
console.log(
  JSON.stringify({
    imageBytes,
    seconds,
    buffersMiB: bufferBytes / 2 ** 20,
    ...ownUsage(),
  }),
);
