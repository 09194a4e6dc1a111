/** Writes a raw image from a URL to a file that stands for a disk, until it is killed: `write-image-process.ts URL FOLDER BYTES SHA256`. */
import { folderMachine } from '#agent/machine/folder-machine.ts';
import { writeImage } from '#agent/write/write-image.ts';
import { TIMING } from '#transfer/download.ts';

const [url = '', folder = '', sizeBytes = '0', sha256 = ''] = process.argv.slice(2);
const { signal } = new AbortController();
const machine = folderMachine({ folder, disks: { '/dev/sda': Number(sizeBytes) } });
await using disk = await machine.openDisk('/dev/sda', { signal });
await writeImage(
  disk,
  { url, proxy: {}, sha256, retryForMs: 10_000, journalEveryMs: 20, timing: { ...TIMING, farMs: 60_000 } },
  { signal, log: () => undefined, progress: ({ written }) => console.log(written) },
);
