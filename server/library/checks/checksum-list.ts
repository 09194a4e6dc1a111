import { TinsmithError } from '#proto/errors.ts';

/** A sum that a list has for a file. */
export interface Checksum {
  readonly algorithm: 'sha256' | 'sha512';
  /** Lower-case hex. */
  readonly sum: string;
}

interface Line extends Checksum {
  /** Undefined: a sum alone. */
  readonly name: string | undefined;
}

const NAMES_SHOWN = 20;

/**
 * The sums of one file in a list as sha256sum, sha512sum (GNU) and sha256 (BSD) write them, or in a sidecar with nothing but its sum.
 * `list`: how the list is called in sentences. Throws `invalid_input` for a list without the file, or with two sums for it.
 */
export function checksumsOf(text: string, fileName: string, list: string): readonly Checksum[] {
  // Windows puts a byte order mark in front.
  const lines = text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .flatMap((line) => parseLine(line) ?? []);
  const alone = lines.length === 1 && lines[0]?.name === undefined ? lines : [];
  const named = lines.filter(({ name }) => name !== undefined && baseName(name) === fileName);
  const found = named.length > 0 ? named : alone;
  if (found.length === 0) throw missing(lines, fileName, list);
  const sums = new Map<Checksum['algorithm'], string>();
  for (const { algorithm, sum } of found) {
    if ((sums.get(algorithm) ?? sum) !== sum) {
      throw new TinsmithError(
        'invalid_input',
        `${list} has two sums for ${fileName}: give the right one with --sha256`,
      );
    }
    sums.set(algorithm, sum);
  }
  return Array.from(sums, ([algorithm, sum]) => ({ algorithm, sum }));
}

function parseLine(line: string): Line | undefined {
  const [, gnuSum, gnuName] = /^\\?([0-9a-f]{64}|[0-9a-f]{128})[ \t]+\*?(.*\S)\s*$/i.exec(line) ?? [];
  if (gnuSum !== undefined) return { ...checksum(gnuSum), name: gnuName };
  const [, kind, bsdName, bsdSum] = /^(SHA256|SHA512) ?\((.+)\) ?= ?([0-9a-f]+)\s*$/i.exec(line) ?? [];
  if (bsdSum !== undefined && bsdSum.length === (kind?.toUpperCase() === 'SHA256' ? 64 : 128)) {
    return { ...checksum(bsdSum), name: bsdName };
  }
  const [, sum] = /^\s*([0-9a-f]{64}|[0-9a-f]{128})\s*$/i.exec(line) ?? [];
  return sum === undefined ? undefined : { ...checksum(sum), name: undefined };
}

function checksum(sum: string): Checksum {
  return { algorithm: sum.length === 64 ? 'sha256' : 'sha512', sum: sum.toLowerCase() };
}

/** Lists are made in folders: `./x`, `images/x`. */
function baseName(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

function missing(lines: readonly Line[], fileName: string, list: string): TinsmithError {
  const names = [...new Set(lines.flatMap(({ name }) => name ?? []))];
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  const fact =
    names.length === 0
      ? 'it has no SHA-256 or SHA-512 sums with names'
      : `it has ${names.slice(0, NAMES_SHOWN).join(', ')}${more}`;
  return new TinsmithError('invalid_input', `${list} has no checksum of ${fileName}: ${fact}`);
}
