/**
 * Writes a library image in a process of its own, where nobody else takes memory: `write-library-image.ts MIRROR KEY-FILE FOLDER BYTES`,
 * FOLDER getting a disk of BYTES; prints one line of JSON.
 */
import { readFile } from 'node:fs/promises';
import { folderMachine } from '#agent/machine/folder-machine.ts';
import { writeLibraryImage } from '#agent/write/library/write-library-image.ts';

const [mirror = '', keyFile = '', folder = '', bytes = '0'] = process.argv.slice(2);
const { signal } = new AbortController();
const machine = folderMachine({ folder, disks: { '/dev/sda': Number(bytes) } });
await using disk = await machine.openDisk('/dev/sda', { signal });
const publicKey = await readFile(keyFile, 'utf8');
const request = { image: 'test', mirrors: [new URL(mirror)], publicKey, proxy: {}, retryForMs: 5000 };
const before = process.memoryUsage().arrayBuffers;
/** What V8 knows of: memory for O_DIRECT is not among it, garbage is. */
let plainBytes = 0;
const look = (): void => {
  plainBytes = Math.max(plainBytes, process.memoryUsage().arrayBuffers - before);
};
const { bufferBytes } = await writeLibraryImage(disk, request, { signal, log: () => undefined, progress: look });
console.log(JSON.stringify({ bufferBytes, plainBytes }));
