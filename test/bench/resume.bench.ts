/**
 * What is fetched after the agent was stopped when half of a library image was on the disk, against what was missing.
 *
 *   npm run bench -- resume [--size-mib 1024] [--runs 3]
 */
import { hash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { FRAME_BYTES, parseLibraryIndex } from '#proto/library-index.ts';
import { benchPlace, dirty, fullImage, keyFile, packed, pathOf } from './bench-images.ts';
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

/** Of frames that the disk does not hold whole, as they are fetched. */
async function missingBytes(): Promise<number> {
  const { frames } = parseLibraryIndex(await readFile(pathOf(`folders/${image.name}/index.json`), 'utf8'));
  await using disk = await open(device, 'r');
  const memory = Buffer.alloc(FRAME_BYTES);
  let bytes = 0;
  for (const { imageOffset, imageBytes, fileBytes, sums } of frames) {
    if (sums === undefined) continue;
    await disk.read(memory, 0, imageBytes, imageOffset);
    if (hash('sha256', memory.subarray(0, imageBytes)) !== sums.image) bytes += fileBytes;
  }
  return bytes;
}

const { size: indexBytes } = await stat(pathOf(`folders/${image.name}/index.json`));
const lines: Line[] = [];
for (let round = 1; round <= Number(values.runs); round++) {
  await dirty(device, image.sizeBytes);
  await timeScript('library-image-agent.ts', [...argv, '0.5']);
  const missing = await missingBytes();
  const { receivedBytes = 0 } = await timeScript('library-image-agent.ts', argv);
  // What was in work is missing, too; only what is fetched although it is there counts as fetched again.
  const again = Math.max(0, receivedBytes - missing - indexBytes) / FRAME_BYTES;
  lines.push({ name: `resume: missing after the cut, run ${round}`, unit: 'MB', value: missing / 1e6 });
  lines.push({ name: `resume: fetched by the next run ${round}`, unit: 'MB', value: receivedBytes / 1e6 });
  lines.push({
    name: `resume: fetched although it was there, run ${round}`,
    unit: 'frames',
    value: again,
    goal: { atMost: 5 },
  });
}
printLines(lines);
