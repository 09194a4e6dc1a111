/**
 * Several agents at once on one server: the rate of all together against that of one.
 *
 *   npm run bench -- many [--size-mib 256] [--agents 8] [--runs 2]
 */
import { parseArgs } from 'node:util';
import { benchPlace, dirty, fullImage, keyFile, packed, pathOf } from './bench-images.ts';
import { attachDisk, cleanUpOnSignals, median, printLines, settle, type Timing, timeScript } from './bench-place.ts';

const { values } = parseArgs({
  options: {
    'size-mib': { type: 'string', default: '256' },
    agents: { type: 'string', default: '8' },
    runs: { type: 'string', default: '2' },
  },
});

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
await packed(image);
const { base } = await benchPlace(image, cleanup);
const count = Number(values.agents);
const disks: { readonly device: string; readonly file: string }[] = [];
for (let i = 0; i < count; i++) {
  const file = pathOf(`disk-${i}.img`);
  disks.push({ file, device: await attachDisk(file, image.sizeBytes + (64 << 20), cleanup) });
}

/** All start together; the time until the last one is done. */
async function timeAgents(chosen: typeof disks): Promise<Timing> {
  for (const { device, file } of chosen) {
    await dirty(device, image.sizeBytes);
    await settle(device, file);
  }
  const startedAt = performance.now();
  const argv = [`${base}/folders/`, image.name, keyFile];
  const all = await Promise.all(chosen.map(({ device }) => timeScript('library-image-agent.ts', [...argv, device])));
  const receivedBytes = all.reduce((sum, timing) => sum + (timing.receivedBytes ?? 0), 0);
  return { seconds: (performance.now() - startedAt) / 1000, receivedBytes };
}

const [one, many]: [Timing[], Timing[]] = [[], []];
for (let round = 0; round <= Number(values.runs); round++) {
  const [single, together] = [await timeAgents(disks.slice(0, 1)), await timeAgents(disks)];
  if (round === 0) continue;
  one.push(single);
  many.push(together);
}
const rate = (timings: readonly Timing[], agents: number): number => (image.sizeBytes * agents) / 1e6 / median(timings);
printLines([
  { name: 'many: one agent', unit: 'MB/s', value: rate(one, 1) },
  { name: `many: ${count} agents together`, unit: 'MB/s', value: rate(many, count) },
  { name: `many: ${count} agents / one`, unit: 'ratio', value: rate(many, count) / rate(one, 1) },
  { name: `many: sent by the server`, unit: 'MB', value: (many[0]?.receivedBytes ?? 0) / 1e6 },
]);
