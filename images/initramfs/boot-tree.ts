import { createReadStream } from 'node:fs';
import { lstat, readdir, readFile, readlink, stat } from 'node:fs/promises';
import { basename, join, relative, sep } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import type { UnpackedPackage } from '../packages/debian-packages.ts';
import type { BootTool } from './boot-tools.ts';
import { bytesContent, type CpioEntry } from './cpio.ts';
import { type ModuleSelection, moduleIndexes } from './kernel-modules.ts';
import { findSharedLibraries } from './shared-libraries.ts';

export interface BootTreeOptions {
  readonly packages: readonly UnpackedPackage[];
  readonly tools: readonly BootTool[];
  /** Debian's multiarch folder, for example `x86_64-linux-gnu`. */
  readonly triplet: string;
  readonly agentFile: string;
  readonly kernelRelease: string;
  readonly modules: ModuleSelection;
  /** Folders whose content is laid over the tree, in this order; the last one wins. */
  readonly addDirectories: readonly string[];
}

export interface BootTree {
  readonly entries: readonly CpioEntry[];
  /** The packages of which at least one file is in the tree, sorted by name. */
  readonly usedPackages: readonly UnpackedPackage[];
}

const FOLDERS = [
  ['bin', 'dev', 'etc', 'lib', 'mnt', 'proc', 'root', 'run', 'sbin', 'sys', 'tmp', 'usr', 'var'],
  ['usr/bin', 'usr/sbin'],
].flat();

/** Our own files beside this one: name → place in the tree. */
const OWN_FILES = {
  init: 'init',
  'init-functions': 'usr/lib/tinsmith/init-functions',
  'udhcpc-script': 'usr/lib/tinsmith/udhcpc-script',
  'disk-links': 'usr/sbin/tinsmith-disk-links',
};

const ETC = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\n',
  'etc/group': 'root:x:0:\n',
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
};

/**
 * Everything that the boot environment's root file system holds.
 * @throws TinsmithError `not_found` for a tool, library or agent that is missing, `invalid_input` for an added folder
 *   that holds something which no archive can (a socket, a device).
 */
export async function bootTree(options: BootTreeOptions): Promise<BootTree> {
  const tools = await toolEntries(options);
  const libraries = await findSharedLibraries(
    [options.agentFile, ...tools.programs],
    options.packages.map(({ root }) => root),
    options.triplet,
  );
  const layers: readonly (readonly CpioEntry[])[] = [
    await baseEntries(),
    [await fileEntry(options.agentFile, 'usr/bin/tinsmith-agent', 0o755)],
    tools.entries,
    await Promise.all(libraries.map(({ path, source }) => fileEntry(source, path, 0o755))),
    moduleEntries(options),
    ...(await Promise.all(options.addDirectories.map(readFolder))),
  ];
  const tree = new Map(layers.flat().map((entry) => [entry.path, entry]));

  const sources = [...tools.programs, ...libraries.map(({ source }) => source)];
  const usedPackages = options.packages.filter(({ root }) => sources.some((source) => source.startsWith(root + sep)));
  return {
    entries: withParents(tree),
    usedPackages: usedPackages.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
  };
}

/** Folders, device nodes, settings and our own scripts. */
async function baseEntries(): Promise<readonly CpioEntry[]> {
  const scripts = Object.entries(OWN_FILES).map(async ([name, path]): Promise<CpioEntry> => {
    return { kind: 'file', path, mode: 0o755, content: bytesContent(await readFile(join(import.meta.dirname, name))) };
  });
  return [
    ...FOLDERS.map((path): CpioEntry => ({ kind: 'directory', path, mode: path === 'tmp' ? 0o1777 : 0o755 })),
    ...Object.entries(ETC).map(
      ([path, text]): CpioEntry => ({ kind: 'file', path, mode: 0o644, content: bytesContent(text) }),
    ),
    { kind: 'symlink', path: 'etc/mtab', mode: 0o777, target: '/proc/self/mounts' },
    // The kernel opens the console for the init before anything is mounted on /dev.
    { kind: 'character', path: 'dev/console', mode: 0o600, major: 5, minor: 1 },
    { kind: 'character', path: 'dev/null', mode: 0o666, major: 1, minor: 3 },
    ...(await Promise.all(scripts)),
  ];
}

async function toolEntries({
  packages,
  tools,
}: BootTreeOptions): Promise<{ readonly entries: readonly CpioEntry[]; readonly programs: readonly string[] }> {
  const entries: CpioEntry[] = [];
  const programs: string[] = [];
  for (const tool of tools) {
    const root = packages.find(({ name }) => name === tool.package)?.root ?? '';
    for (const [from, path] of Object.entries(tool.files)) {
      const source = await locateTool(root, from);
      entries.push(await fileEntry(source, path));
      programs.push(source);
    }
    for (const [path, target] of Object.entries(tool.links))
      entries.push({ kind: 'symlink', path, mode: 0o777, target });
  }
  return { entries, programs };
}

/** Debian is moving /bin, /sbin and /lib below /usr: both places are right. */
async function locateTool(root: string, path: string): Promise<string> {
  for (const candidate of [join(root, path), join(root, 'usr', path)]) {
    if (await stat(candidate).catch(() => undefined)) return candidate;
  }
  throw new TinsmithError('not_found', `cannot build the boot environment: ${basename(root)} holds no ${path}`);
}

async function fileEntry(source: string, path: string, mode?: number): Promise<CpioEntry> {
  const facts = await stat(source).catch((error: unknown) => {
    throw new TinsmithError('not_found', `cannot put ${source} into the boot environment: no such file`, {
      cause: error,
    });
  });
  const content = { sizeBytes: facts.size, read: () => createReadStream(source, { highWaterMark: 1 << 20 }) };
  return { kind: 'file', path, mode: mode ?? facts.mode & 0o777, content };
}

function moduleEntries({ kernelRelease, modules }: BootTreeOptions): readonly CpioEntry[] {
  const folder = `lib/modules/${kernelRelease}`;
  const indexes = [...moduleIndexes(modules.modules)];
  const files = [
    ...modules.modules.map(({ path, bytes }) => ({ path, content: bytesContent(bytes) })),
    ...indexes.map(([path, text]) => ({ path, content: bytesContent(text) })),
    { path: 'modules.builtin', content: bytesContent(modules.builtIn.map((name) => `kernel/${name}.ko\n`).join('')) },
  ];
  return files.map(({ path, content }) => ({ kind: 'file', path: `${folder}/${path}`, mode: 0o644, content }));
}

/** The user's folder as entries; owners and times are not taken over. */
async function readFolder(directory: string): Promise<readonly CpioEntry[]> {
  const names = await readdir(directory, { recursive: true }).catch((error: unknown) => {
    throw new TinsmithError('not_found', `cannot add ${directory}: no such folder`, { cause: error });
  });
  const entries: CpioEntry[] = [];
  for (const name of names) {
    const file = join(directory, name);
    const path = relative(directory, file).replaceAll(sep, '/');
    const facts = await lstat(file);
    const mode = facts.mode & 0o7777;
    if (facts.isDirectory()) entries.push({ kind: 'directory', path, mode });
    else if (facts.isSymbolicLink()) entries.push({ kind: 'symlink', path, mode: 0o777, target: await readlink(file) });
    else if (facts.isFile()) entries.push(await fileEntry(file, path, mode));
    else throw new TinsmithError('invalid_input', `cannot add ${file}: it is neither file, folder nor link`);
  }
  return entries;
}

/** Adds the folders that nobody named. A file that stands where a folder must be is found by the archive writer. */
function withParents(tree: ReadonlyMap<string, CpioEntry>): readonly CpioEntry[] {
  const all = new Map(tree);
  for (const path of tree.keys()) {
    for (let slash = path.lastIndexOf('/'); slash !== -1; slash = path.lastIndexOf('/', slash - 1)) {
      const parent = path.slice(0, slash);
      if (!all.has(parent)) all.set(parent, { kind: 'directory', path: parent, mode: 0o755 });
    }
  }
  return [...all.values()];
}
