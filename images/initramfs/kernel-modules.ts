import { readdir, readFile } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import xz from 'xz-decompress';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { readElf } from './elf-file.ts';

/** A kernel module that goes into the boot environment. */
export interface KernelModule {
  /** As `lsmod` shows it: dashes are underscores. */
  readonly name: string;
  /** Path below `/lib/modules/<release>`, always ending in `.ko`: compressed modules are stored unpacked. */
  readonly path: string;
  readonly bytes: Buffer;
  /** Names of all modules that must be loaded before; the one to load first comes last, as in modules.dep. */
  readonly needs: readonly string[];
  readonly aliases: readonly string[];
}

export interface ModuleSelection {
  /** Sorted by path. */
  readonly modules: readonly KernelModule[];
  /** Wanted names that the kernel has built in. */
  readonly builtIn: readonly string[];
  /** Wanted names that this kernel does not have at all. */
  readonly absent: readonly string[];
}

interface ModuleFile {
  readonly path: string;
  readonly file: string;
}

/** What one module says of itself. */
interface ModuleFacts extends ModuleFile {
  readonly bytes: Buffer;
  readonly depends: readonly string[];
  readonly wishes: readonly string[];
  readonly aliases: readonly string[];
}

/**
 * Picks the wanted modules of a kernel and everything that they need.
 * @param directory the kernel's `/lib/modules/<release>`; `.ko`, `.ko.gz`, `.ko.zst` and `.ko.xz` are read.
 * @throws TinsmithError `invalid_input` when the directory holds no modules, one is damaged, or a needed one is missing.
 */
export async function selectKernelModules(directory: string, wanted: readonly string[]): Promise<ModuleSelection> {
  const files = await findModuleFiles(directory);
  const builtInNames = await readBuiltIn(directory);
  const facts = new Map<string, ModuleFacts>();
  const builtIn: string[] = [];
  const absent: string[] = [];
  for (const name of new Set(wanted.map(plainName))) {
    if (files.has(name)) await collect(name, { files, builtInNames, facts });
    else if (builtInNames.has(name)) builtIn.push(name);
    else absent.push(name);
  }
  const modules = [...facts].map(([name, { path, bytes, aliases }]) => {
    return { name, path, bytes, aliases, needs: needsOf(name, facts) };
  });
  modules.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { modules, builtIn: builtIn.toSorted(), absent: absent.toSorted() };
}

/** The index files that modprobe reads, by their names in `/lib/modules/<release>`. */
export function moduleIndexes(modules: readonly KernelModule[]): ReadonlyMap<string, string> {
  const paths = new Map(modules.map(({ name, path }) => [name, path]));
  const dependencies = modules.map(({ path, needs }) => {
    return `${path}:${needs.map((name) => ` ${paths.get(name) ?? ''}`).join('')}\n`;
  });
  const aliases = modules.flatMap(({ name, aliases: own }) => own.map((alias) => `alias ${alias} ${name}\n`));
  return new Map([
    ['modules.dep', dependencies.join('')],
    ['modules.alias', aliases.join('')],
    ['modules.symbols', ''],
  ]);
}

/** Modules are compared with underscores: `nls_iso8859-1.ko` and `nls_iso8859_1` are one module. */
function plainName(name: string): string {
  return name.replaceAll('-', '_');
}

async function findModuleFiles(directory: string): Promise<ReadonlyMap<string, ModuleFile>> {
  const found = new Map<string, ModuleFile>();
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw new TinsmithError('invalid_input', `cannot read kernel modules from ${directory}: no such folder`, {
      cause: error,
    });
  });
  for (const entry of entries) {
    const match = /^(.+)\.ko(\.gz|\.zst|\.xz)?$/.exec(entry.name);
    if (!entry.isFile() || match === null) continue;
    const file = join(entry.parentPath, entry.name);
    const path = relative(directory, join(entry.parentPath, `${match[1]}.ko`)).replaceAll(sep, '/');
    const name = plainName(match[1] ?? '');
    const isOverride = /^(updates|extra)\//.test(path);
    if (!found.has(name) || isOverride) found.set(name, { path, file });
  }
  if (found.size > 0) return found;
  throw new TinsmithError(
    'invalid_input',
    `cannot read kernel modules from ${directory}: it holds no .ko file; give a kernel's /lib/modules/<release>`,
  );
}

async function readBuiltIn(directory: string): Promise<ReadonlySet<string>> {
  const text = await readFile(join(directory, 'modules.builtin'), 'utf8').catch((error: unknown) => {
    // Kernels built by hand may lack the list; what they have built in is then merely reported as absent.
    if (systemCodeOf(error) === 'ENOENT') return '';
    throw error;
  });
  return new Set([...text.matchAll(/([^/\n]+)\.ko$/gm)].map(([, name = '']) => plainName(name)));
}

interface Collection {
  readonly files: ReadonlyMap<string, ModuleFile>;
  readonly builtInNames: ReadonlySet<string>;
  readonly facts: Map<string, ModuleFacts>;
}

async function collect(name: string, collection: Collection): Promise<void> {
  const { files, builtInNames, facts } = collection;
  const file = files.get(name);
  if (facts.has(name) || file === undefined) return;
  const fact = await readModule(file);
  facts.set(name, fact);
  for (const needed of fact.depends) {
    if (!files.has(needed) && !builtInNames.has(needed)) {
      throw new TinsmithError(
        'invalid_input',
        `cannot use kernel module ${file.path}: it needs ${needed}, which is missing`,
      );
    }
    await collect(needed, collection);
  }
  // Soft dependencies may be aliases ("crypto-crc32c") that no file is named after: the wanted list has their modules.
  for (const wish of fact.wishes) await collect(wish, collection);
}

async function readModule({ path, file }: ModuleFile): Promise<ModuleFacts> {
  const bytes = await unpackModule(file);
  const { modinfo } = readElf(bytes, file);
  const words = (key: string, separator: RegExp): readonly string[] =>
    (modinfo.get(key) ?? []).flatMap((value) => value.split(separator)).filter((word) => word !== '');
  return {
    path,
    file,
    bytes,
    depends: words('depends', /,/).map(plainName),
    wishes: words('softdep', /\s+/)
      .filter((word) => !word.endsWith(':'))
      .map(plainName),
    aliases: modinfo.get('alias') ?? [],
  };
}

async function unpackModule(file: string): Promise<Buffer> {
  const packed = await readFile(file);
  if (file.endsWith('.xz')) return unpackXz(packed, file);
  if (file.endsWith('.gz')) return gunzipSync(packed);
  return file.endsWith('.zst') ? zstdDecompressSync(packed) : packed;
}

/** Not the xz program: a minimal Debian has none. */
async function unpackXz(packed: Buffer, file: string): Promise<Buffer> {
  try {
    const pieces = await Array.fromAsync(new xz.XzReadableStream(new Blob([Uint8Array.from(packed)]).stream()));
    return Buffer.concat(pieces);
  } catch (error) {
    const fact = TinsmithError.from(error).message;
    throw new TinsmithError('corrupt_image', `cannot unpack the kernel module ${file}: ${fact}`, { cause: error });
  }
}

/** Every transitive need of a module, dependents before what they depend on: modprobe loads the list from its end. */
function needsOf(name: string, facts: ReadonlyMap<string, ModuleFacts>): readonly string[] {
  const loadOrder: string[] = [];
  const seen = new Set([name]);
  const visit = (current: string): void => {
    for (const needed of facts.get(current)?.depends ?? []) {
      if (seen.has(needed) || !facts.has(needed)) continue;
      seen.add(needed);
      visit(needed);
      loadOrder.push(needed);
    }
  };
  visit(name);
  return loadOrder.toReversed();
}
