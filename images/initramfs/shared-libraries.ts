import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { isElf, readElf } from './elf-file.ts';

/** A shared library or program loader: where it must lie in the boot environment, and the file to copy. */
export interface LibraryFile {
  /** Without a leading slash. */
  readonly path: string;
  readonly source: string;
}

/**
 * Finds every shared library that the programs need, and what those need, in folders of unpacked packages.
 * Programs that are static or no ELF files (scripts) need none. The result is sorted by path.
 * @param triplet Debian's multiarch folder, for example `x86_64-linux-gnu`.
 * @throws TinsmithError `not_found` that names the program and the library that no folder holds.
 */
export async function findSharedLibraries(
  programs: readonly string[],
  roots: readonly string[],
  triplet: string,
): Promise<readonly LibraryFile[]> {
  const found = new Map<string, LibraryFile>();
  const queue = [...programs];
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const bytes = await readFile(file);
    if (!isElf(bytes)) continue;
    const { needed, interpreter } = readElf(bytes, file);
    const targets = needed.map((name) => `lib/${triplet}/${name}`);
    if (interpreter !== undefined) targets.push(interpreter.replace(/^\/+/, ''));
    for (const path of targets) {
      // The loader is also a NEEDED name of libc; one copy, where PT_INTERP looks for it, is enough.
      if (found.has(path) || isLoaderAlias(path)) continue;
      const source = await locate(path, roots, triplet);
      if (source === undefined) {
        throw new TinsmithError(
          'not_found',
          `cannot put ${file} into the boot environment: no package holds its ${path}`,
        );
      }
      found.set(path, { path, source });
      queue.push(source);
    }
  }
  return [...found.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function isLoaderAlias(path: string): boolean {
  return /^lib\/[^/]+\/ld-linux[^/]*$/.test(path);
}

async function locate(path: string, roots: readonly string[], triplet: string): Promise<string | undefined> {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const places = [
    path,
    `usr/${path}`,
    `lib/${triplet}/${name}`,
    `usr/lib/${triplet}/${name}`,
    `lib/${name}`,
    `usr/lib/${name}`,
  ];
  for (const root of roots) {
    for (const place of places) {
      try {
        return await realpath(join(root, place));
      } catch {
        // Not here: the next place, or in the end the caller's error, answers.
      }
    }
  }
  return undefined;
}
