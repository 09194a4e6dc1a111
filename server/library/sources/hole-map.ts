import { spawn } from 'node:child_process';

/** A part of a file that its file system keeps no bytes of: it reads as zeros. */
export interface Hole {
  readonly start: number;
  readonly end: number;
}

/** A map of more than this many bytes is not worth its reading. */
const MOST_BYTES = 16 << 20;
const DEADLINE_MS = 5000;
const BLOCK_BYTES = 512;

/**
 * The holes of an open file, in order. Node has no SEEK_HOLE, GNU tar has: a sparse file's map stands in front of its data in an archive
 * (GNU.sparse 1.0, in the manual of tar, "Storing Sparse Files"), so tar is ended as soon as the map is there. It says nothing of a file
 * that is written to meanwhile. Undefined: there is no such tar, or it has no map to give.
 */
export async function fileHoles(fd: number, sizeBytes: number, program = 'tar'): Promise<readonly Hole[] | undefined> {
  const tar = spawn(
    program,
    // The descriptor, not the name, which may be another file's by now.
    ['--create', '--file=-', '--format=posix', '--sparse', '--hole-detection=seek', '--dereference', '/dev/fd/3'],
    { stdio: ['ignore', 'pipe', 'ignore', fd], signal: AbortSignal.timeout(DEADLINE_MS) },
  );
  const closed = new Promise<void>((resolve) => {
    tar.once('close', () => resolve());
    tar.once('error', () => resolve());
  });
  let archive = Buffer.alloc(0);
  try {
    for await (const bytes of tar.stdout ?? []) {
      if (!Buffer.isBuffer(bytes)) return undefined;
      archive = Buffer.concat([archive, bytes]);
      const map = sparseMap(archive);
      if (map === 'more' && archive.length < MOST_BYTES) continue;
      return typeof map === 'string' ? undefined : holesBetween(map, sizeBytes);
    }
    return undefined;
  } catch {
    // It is read like any other file then.
    return undefined;
  } finally {
    tar.kill('SIGKILL');
    await closed;
  }
}

/** Numbers of the map: pairs of where data is and how long. `none`: the archive has no map; `more`: it has not all come yet. */
function sparseMap(archive: Buffer): readonly number[] | 'none' | 'more' {
  if (archive.length < BLOCK_BYTES) return 'more';
  if (archive.toString('latin1', 156, 157) !== 'x') return 'none';
  const attributeBytes = Number.parseInt(archive.toString('latin1', 124, 136), 8);
  const head = BLOCK_BYTES + Math.ceil(attributeBytes / BLOCK_BYTES) * BLOCK_BYTES;
  if (archive.length < head) return 'more';
  const attributes = archive.toString('latin1', BLOCK_BYTES, BLOCK_BYTES + attributeBytes);
  if (!/ GNU\.sparse\.major=1\n/.test(attributes) || !/ GNU\.sparse\.minor=0\n/.test(attributes)) return 'none';
  const lines = archive.toString('latin1', head + BLOCK_BYTES).split('\n');
  const count = Number(lines[0]);
  // The last piece of `lines` is what no line end was seen of.
  return lines.length < 2 || lines.length < count * 2 + 2 ? 'more' : lines.slice(1, count * 2 + 1).map(Number);
}

/** Undefined: the map is not one of a file of this size. */
function holesBetween(map: readonly number[], sizeBytes: number): readonly Hole[] | undefined {
  const holes: Hole[] = [];
  let end = 0;
  for (let i = 0; i < map.length; i += 2) {
    const [start = Number.NaN, bytes = Number.NaN] = map.slice(i, i + 2);
    // Written so that what is no number is refused as well.
    if (!(start >= end && bytes >= 0 && start + bytes <= sizeBytes)) return undefined;
    if (start > end) holes.push({ start: end, end: start });
    end = start + bytes;
  }
  if (end < sizeBytes) holes.push({ start: end, end: sizeBytes });
  return holes;
}
