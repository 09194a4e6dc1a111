/**
 * A library image onto a disk that holds it already, or most of it, against a full write by the same agent, and against reading the
 * disk, which is the least that it takes to know what lies there: on this machine's disk, and on one in memory, which is not what either
 * waits for.
 *
 *   npm run bench -- re-image [--size-mib 1024] [--runs 3]
 */
import { parseArgs } from 'node:util';
import { type BenchPlace, benchPlace, dirty, fullImage, keyFile, packed } from './bench-images.ts';
import {
  cleanUpOnSignals,
  type Line,
  median,
  printLines,
  settle,
  type Timing,
  timeScript,
  timeShell,
} from './bench-place.ts';

const { values } = parseArgs({
  options: { 'size-mib': { type: 'string', default: '1024' }, runs: { type: 'string', default: '3' } },
});

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
await packed(image);

/** `share` of the frames differ from what the disk holds; 1: all. */
async function timeShare({ base, device, diskFile }: BenchPlace, share: number): Promise<readonly Timing[]> {
  const timings: Timing[] = [];
  for (let round = 0; round < Number(values.runs); round++) {
    if (share > 0) await dirty(device, image.sizeBytes, share);
    await settle(device, diskFile);
    timings.push(await timeScript('library-image-agent.ts', [`${base}/folders/`, image.name, keyFile, device]));
  }
  return timings;
}

async function readingLines(title: string, { device, diskFile }: BenchPlace, own: number): Promise<readonly Line[]> {
  await settle(device, diskFile);
  const count = image.sizeBytes >> 22;
  const reading = await timeShell(`dd if=${device} of=/dev/null bs=4M iflag=direct count=${count} status=none`);
  return [
    { name: `${title}: reading the disk alone`, unit: 'MB/s', value: image.sizeBytes / 1e6 / reading.seconds },
    { name: `${title}: 0 % changed / reading the disk`, unit: 'share', value: reading.seconds / own },
  ];
}

async function compare(title: string, place: BenchPlace, goal?: Line['goal']): Promise<readonly Line[]> {
  const whole = await timeShare(place, 1);
  const lines: Line[] = [];
  for (const share of [0, 0.01, 0.3]) {
    const timings = await timeShare(place, share);
    const name = `${title}: ${share * 100} % changed`;
    const ratio = { name: `${name} / full write`, unit: 'ratio', value: median(whole) / median(timings) };
    lines.push(share === 0 && goal !== undefined ? { ...ratio, goal } : ratio);
    lines.push({ name: `${name}, fetched`, unit: 'MB', value: (timings[0]?.receivedBytes ?? 0) / 1e6 });
    if (share === 0) lines.push(...(await readingLines(title, place, median(timings))));
  }
  return lines;
}

printLines([
  ...(await compare('re-image', await benchPlace(image, cleanup), { atLeast: 3 })),
  ...(await compare('re-image in memory', await benchPlace(image, cleanup, 'memory'))),
]);
