/**
 * A library image onto a disk that holds it already, or most of it, against a full write by the same agent, and against reading the
 * disk, which is the least that it takes to know what lies there.
 *
 *   npm run bench -- re-image [--size-mib 1024] [--runs 3]
 */
import { parseArgs } from 'node:util';
import { benchPlace, dirty, fullImage, keyFile, packed } from './bench-images.ts';
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
const { base, device, diskFile } = await benchPlace(image, cleanup);

/** `share` of the frames differ from what the disk holds; 1: all. */
async function timeShare(share: number): Promise<readonly Timing[]> {
  const timings: Timing[] = [];
  for (let round = 0; round < Number(values.runs); round++) {
    if (share > 0) await dirty(device, image.sizeBytes, share);
    await settle(device, diskFile);
    timings.push(await timeScript('library-image-agent.ts', [`${base}/folders/`, image.name, keyFile, device]));
  }
  return timings;
}

const whole = await timeShare(1);
const lines: Line[] = [];
for (const share of [0, 0.01, 0.3]) {
  const timings = await timeShare(share);
  const name = `re-image: ${share * 100} % changed`;
  const ratio = { name: `${name} / full write`, unit: 'ratio', value: median(whole) / median(timings) };
  lines.push(share === 0 ? { ...ratio, goal: { atLeast: 3 } } : ratio);
  lines.push({ name: `${name}, fetched`, unit: 'MB', value: (timings[0]?.receivedBytes ?? 0) / 1e6 });
  if (share > 0) continue;
  await settle(device, diskFile);
  const reading = await timeShell(
    `dd if=${device} of=/dev/null bs=4M iflag=direct count=${image.sizeBytes >> 22} status=none`,
  );
  lines.push({
    name: 're-image: reading the disk alone',
    unit: 'MB/s',
    value: image.sizeBytes / 1e6 / reading.seconds,
  });
  lines.push({ name: `${name} / reading the disk`, unit: 'share', value: reading.seconds / median(timings) });
}
printLines(lines);
