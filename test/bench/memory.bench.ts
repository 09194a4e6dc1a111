/**
 * Memory of an agent's process while it writes, against one that does nothing; every format.
 *
 *   npm run bench -- memory [--size-mib 1024]
 */
import { parseArgs } from 'node:util';
import { benchPlace, compressed, dirty, fullImage, keyFile, packed } from './bench-images.ts';
import { cleanUpOnSignals, type Line, printLines, timeScript } from './bench-place.ts';

const { values } = parseArgs({ options: { 'size-mib': { type: 'string', default: '1024' } } });

await using cleanup = new AsyncDisposableStack();
cleanUpOnSignals(cleanup);
const image = await fullImage(Number(values['size-mib']));
await packed(image);
const files = [image.raw];
for (const compression of ['zst', 'gz', 'xz'] as const) files.push(await compressed(image, compression));
const { base, device } = await benchPlace(image, cleanup);
const idle = (await timeScript('idle-agent.ts', [])).peakRssMiB ?? Number.NaN;
const lines: Line[] = [{ name: 'memory: idle', unit: 'MiB', value: idle }];

async function measure(name: string, script: string, argv: readonly string[]): Promise<void> {
  await dirty(device, image.sizeBytes);
  const { peakRssMiB = Number.NaN } = await timeScript(script, argv);
  lines.push({ name: `memory: ${name}, peak RSS`, unit: 'MiB', value: peakRssMiB });
  lines.push({ name: `memory: ${name}, above idle`, unit: 'MiB', value: peakRssMiB - idle });
}

for (const file of files)
  await measure(`${file.split('.')[1]} URL`, 'write-image-agent.ts', [`${base}/${file}`, device]);
await measure('library', 'library-image-agent.ts', [`${base}/folders/`, image.name, keyFile, device]);
printLines(lines);
