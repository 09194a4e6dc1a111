/**
 * What is fetched again after the agent was killed when half of a library image was on the disk.
 *
 *   npm run bench -- resume [--size-mib 1024] [--runs 3]
 */
import { parseArgs } from 'node:util';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { benchPlace, dirty, fullImage, keyFile, packed } from './bench-images.ts';
import { cleanUpOnSignals, type Line, printLines, timeScript } from './bench-place.ts';

const { values } = parseArgs({
  options: { 'size-mib': { type: 'string', default: '1024' }, runs: { type: 'string', default: '3' } },
});

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
await packed(image);
const { base, device } = await benchPlace(image, cleanup);
const argv = [`${base}/folders/`, image.name, keyFile, device];
const lines: Line[] = [];
for (let round = 1; round <= Number(values.runs); round++) {
  await dirty(device, image.sizeBytes);
  const { doneBytes = 0 } = await timeScript('library-image-agent.ts', [...argv, '0.5']);
  const { keptBytes = 0 } = await timeScript('library-image-agent.ts', argv);
  // Of each slot one frame may have been in work, and the frames at the disk's ends are withheld on purpose.
  const frames = Math.max(0, doneBytes - keptBytes) / FRAME_BYTES;
  lines.push({
    name: `resume: frames fetched again, run ${round}`,
    unit: 'frames',
    value: frames,
    goal: { atMost: 5 },
  });
}
printLines(lines);
