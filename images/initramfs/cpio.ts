/**
 * Writes the archive that Linux unpacks as its first root file system: cpio "newc",
 * Documentation/driver-api/early-userspace/buffer-format.rst of the kernel. Only what that reader supports.
 */
import { TinsmithError } from '#proto/errors.ts';

interface EntryBase {
  /** Path inside the archive, without a leading slash; parts `.` and `..` are refused. */
  readonly path: string;
  /** Permission bits, for example 0o755. */
  readonly mode: number;
}

export type CpioEntry =
  | (EntryBase & { readonly kind: 'directory' })
  | (EntryBase & { readonly kind: 'file'; readonly content: FileContent })
  | (EntryBase & { readonly kind: 'symlink'; readonly target: string })
  | (EntryBase & { readonly kind: 'block' | 'character'; readonly major: number; readonly minor: number });

/** A file's bytes; `read` is called once while the archive is written and must yield exactly `sizeBytes`. */
export interface FileContent {
  readonly sizeBytes: number;
  readonly read: () => Iterable<Uint8Array> | AsyncIterable<Uint8Array>;
}

export interface CpioOptions {
  /** Seconds since 1970 that every entry carries. Default 0: the same input gives the same bytes. */
  readonly modifiedAt?: number;
}

const TYPE_BITS = { directory: 0o040000, file: 0o100000, symlink: 0o120000, block: 0o060000, character: 0o020000 };
const LARGEST_FIELD = 0xffffffff;
/** PATH_MAX of Linux with its closing NUL: its unpacker silently skips longer names and link targets. */
const LONGEST_NAME_BYTES = 4096;

/**
 * Yields the archive's bytes. Entries are sorted by path, numbered from 1 and owned by root, so that the bytes depend on
 * nothing but the entries. Parents must be entries too: the kernel does not make them.
 * @throws TinsmithError `invalid_input` for what the format or the kernel cannot hold: a bad, double or orphaned path,
 *   a file of 4 GiB or more, or content of another length than promised.
 */
export async function* writeCpio(
  entries: readonly CpioEntry[],
  { modifiedAt = 0 }: CpioOptions = {},
): AsyncGenerator<Uint8Array> {
  const sorted = sortEntries(entries);
  let inode = 0;
  for (const entry of sorted) {
    inode += 1;
    const { sizeBytes, read } = contentOf(entry);
    yield header(entry, { inode, sizeBytes, modifiedAt });
    let written = 0;
    for await (const bytes of read()) {
      written += bytes.length;
      yield bytes;
    }
    if (written !== sizeBytes) {
      throw new TinsmithError(
        'invalid_input',
        `cannot archive ${entry.path}: it has ${written} bytes, ${sizeBytes} were promised; was it changed meanwhile?`,
      );
    }
    yield padding(sizeBytes);
  }
  yield header({ path: 'TRAILER!!!', mode: 0, kind: 'trailer' }, { inode: 0, sizeBytes: 0, modifiedAt: 0 });
}

/** File content that is already in memory. */
export function bytesContent(bytes: Uint8Array | string): FileContent {
  const content = typeof bytes === 'string' ? Buffer.from(bytes) : bytes;
  return { sizeBytes: content.length, read: () => [content] };
}

/** Orders entries by the bytes of their paths, which also puts each folder before what is in it. */
function sortEntries(entries: readonly CpioEntry[]): readonly CpioEntry[] {
  const byPath = new Map<string, CpioEntry>();
  for (const entry of entries) {
    checkPath(entry);
    if (byPath.has(entry.path)) {
      throw new TinsmithError('invalid_input', `cannot archive ${entry.path}: it is there twice`);
    }
    byPath.set(entry.path, entry);
  }
  for (const { path } of entries) {
    const slash = path.lastIndexOf('/');
    if (slash === -1 || byPath.get(path.slice(0, slash))?.kind === 'directory') continue;
    throw new TinsmithError(
      'invalid_input',
      `cannot archive ${path}: ${path.slice(0, slash)} is no folder of the archive`,
    );
  }
  return entries.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
}

function checkPath({ path }: CpioEntry): void {
  const isBad = path.split('/').some((part) => part === '' || part === '.' || part === '..') || path.includes('\0');
  if (isBad || path === 'TRAILER!!!') {
    throw new TinsmithError('invalid_input', `cannot archive ${JSON.stringify(path)}: it is not a plain relative path`);
  }
  if (Buffer.byteLength(path) + 1 > LONGEST_NAME_BYTES) {
    throw new TinsmithError(
      'invalid_input',
      `cannot archive ${path.slice(0, 60)}…: its path is longer than 4095 bytes`,
    );
  }
}

function contentOf(entry: CpioEntry): FileContent {
  if (entry.kind === 'symlink') {
    const target = bytesContent(entry.target);
    if (target.sizeBytes === 0 || target.sizeBytes >= LONGEST_NAME_BYTES || entry.target.includes('\0')) {
      throw new TinsmithError(
        'invalid_input',
        `cannot archive ${entry.path}: its link target has ${target.sizeBytes} bytes`,
      );
    }
    return target;
  }
  if (entry.kind !== 'file') return bytesContent('');
  if (entry.content.sizeBytes > LARGEST_FIELD) {
    throw new TinsmithError(
      'invalid_input',
      `cannot archive ${entry.path}: it has ${entry.content.sizeBytes} bytes, the format ends at ${LARGEST_FIELD}`,
    );
  }
  return entry.content;
}

interface HeaderFacts {
  readonly inode: number;
  readonly sizeBytes: number;
  readonly modifiedAt: number;
}

function header(entry: CpioEntry | (EntryBase & { readonly kind: 'trailer' }), facts: HeaderFacts): Uint8Array {
  const isDevice = entry.kind === 'block' || entry.kind === 'character';
  const typeBits = entry.kind === 'trailer' ? 0 : TYPE_BITS[entry.kind];
  const name = Buffer.from(`${entry.path}\0`);
  const fields = [
    facts.inode,
    typeBits | (entry.mode & 0o7777),
    0, // uid
    0, // gid
    entry.kind === 'directory' ? 2 : 1, // links; more than 1 on a file would make the kernel look for a hard link
    facts.modifiedAt,
    facts.sizeBytes,
    0, // major and minor of the archive's own device
    0,
    isDevice ? entry.major : 0,
    isDevice ? entry.minor : 0,
    name.length,
    0, // checksum, used by "070702" only
  ];
  const text = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([Buffer.from(text), name, padding(text.length + name.length)]);
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
