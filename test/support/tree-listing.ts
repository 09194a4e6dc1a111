import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { BigIntStats } from 'node:fs';
import { lstat, readdir, readFile, readlink } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Everything that an archive keeps of a tree, one line a file: two trees are the same when their listings are. */
export async function treeListing(root: string): Promise<readonly string[]> {
  const xattrs = await extendedAttributes(root);
  const inodes = new Map<bigint, string>();
  const lines: string[] = [];
  const visit = async (path: string): Promise<void> => {
    const place = Buffer.from(`${root}/${path}`, 'latin1');
    const about = await lstat(place, { bigint: true });
    const first = inodes.get(about.ino);
    if (first === undefined) inodes.set(about.ino, path);
    const facts = [
      path,
      about.mode.toString(8),
      `${about.uid}:${about.gid}`,
      // What Node's calls can set.
      `at ${about.mtimeNs / 1000n}`,
      await contentOf(place, about),
      first === undefined || about.isDirectory() ? '' : `same as ${first}`,
      xattrs.get(path) ?? '',
    ];
    lines.push(facts.filter((fact) => fact !== '').join(' | '));
    if (!about.isDirectory()) return;
    const names = await readdir(place, 'latin1');
    for (const name of names.toSorted()) await visit(path === '' ? name : `${path}/${name}`);
  };
  await visit('');
  return lines;
}

async function contentOf(place: Buffer, about: BigIntStats): Promise<string> {
  if (about.isSymbolicLink()) return `-> ${(await readlink(place, 'buffer')).toString('latin1')}`;
  if (about.isCharacterDevice() || about.isBlockDevice()) return `device ${about.rdev}`;
  if (!about.isFile()) return '';
  return `${about.size} bytes ${createHash('sha256')
    .update(await readFile(place))
    .digest('hex')
    .slice(0, 16)}`;
}

/** Path → attributes, as getfattr(1) prints them; nothing where it is not installed. */
async function extendedAttributes(root: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const argv = ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', root];
  const output = await run('getfattr', argv, { encoding: 'latin1', maxBuffer: 1 << 26 }).catch(() => undefined);
  for (const block of (output?.stdout ?? '').split('\n\n')) {
    const [name = '', ...attributes] = block.split('\n');
    const path = name.replace(`# file: ${root}`, '').replace(/^\//, '');
    const bytes = path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    if (attributes.length > 0) found.set(bytes, attributes.toSorted().join(','));
  }
  return found;
}
