/**
 * One run of the agent's write path in a process of its own, to be killed: `write-agent.ts ORDER`, the order as JSON. Prints one line
 * of JSON: what was written, or the error.
 */
import { open } from 'node:fs/promises';
import { openBlockDevice } from '#agent/machine/block-device.ts';
import { FileDisk } from '#agent/machine/file-disk.ts';
import type { Disk } from '#agent/machine/machine.ts';
import { writeLibraryImage } from '#agent/write/library/write-library-image.ts';
import { writeImage } from '#agent/write/write-image.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { WriteOrder } from './agent-run.ts';

async function openDisk(device: string): Promise<Disk> {
  if (device.startsWith('/dev/')) return openBlockDevice(device, device);
  const file = await open(device, 'r+');
  return new FileDisk(file, { device, sizeBytes: (await file.stat()).size, logicalBlockBytes: 512 });
}

async function obey({ device, limitMs, source, timing, retryForMs }: WriteOrder) {
  await using disk = await openDisk(device);
  const events = { signal: AbortSignal.timeout(limitMs), log: () => undefined, progress: () => undefined };
  const shared = { proxy: {}, retryForMs, timing };
  if ('url' in source) return await writeImage(disk, { ...source, ...shared }, events);
  const mirrors = source.mirrors.map((mirror) => new URL(mirror));
  return await writeLibraryImage(disk, { ...source, mirrors, ...shared }, events);
}

try {
  const written = await obey(JSON.parse(process.argv[2] ?? '') as WriteOrder);
  console.log(JSON.stringify({ isWritten: true, ...written }));
} catch (thrown) {
  const { code, message } = TinsmithError.from(thrown);
  console.log(JSON.stringify({ isWritten: false, code, message }));
}
