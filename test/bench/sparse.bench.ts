/**
 * A large image with little in it, from the library, against writing all of it: `curl | dd` of the raw image and `curl | zstd | dd`.
 *
 *   npm run bench -- sparse [--size-mib 10240] [--used-mib 1536] [--runs 2]
 */
import { parseArgs } from 'node:util';
import { benchPlace, compressed, dirty, keyFile, packed, sparseImage } from './bench-images.ts';
import {
  type Contender,
  cleanUpOnSignals,
  costLines,
  inTurns,
  printLines,
  rateLines,
  settle,
  timePipeline,
  timeScript,
} from './bench-place.ts';

const { values } = parseArgs({
  options: {
    'size-mib': { type: 'string', default: '10240' },
    'used-mib': { type: 'string', default: '1536' },
    runs: { type: 'string', default: '2' },
  },
});

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await sparseImage(Number(values['size-mib']), Number(values['used-mib']));
await packed(image);
const zst = await compressed(image, 'zst');
const { base, device, diskFile } = await benchPlace(image, cleanup);
const contenders: Contender[] = [
  ['library', () => timeScript('library-image-agent.ts', [`${base}/folders/`, image.name, keyFile, device])],
  ['full dd', () => timePipeline('cat', `${base}/${image.raw}`, device)],
  ['zstd -dc | dd', () => timePipeline('zstd -dc', `${base}/${zst}`, device)],
];
const timings = await inTurns(contenders, Number(values.runs), async () => {
  await dirty(device, image.sizeBytes);
  await settle(device, diskFile);
});
printLines([
  ...rateLines('sparse', timings, image.sizeBytes, { 'full dd': 5, 'zstd -dc | dd': 5 }),
  ...costLines('sparse', timings.get('library') ?? []),
]);
