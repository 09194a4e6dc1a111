import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { TinsmithError } from '#proto/errors.ts';
import { runProgram, tryProgram } from './run-program.ts';

/** Debian's name of an architecture. */
export type DebianArchitecture = 'amd64' | 'arm64';

/** A Debian package as it lies unpacked in the cache; nothing of it was installed. */
export interface UnpackedPackage {
  readonly name: string;
  readonly version: string;
  /** SHA-256 of the .deb, lower-case hex, as the distribution's signed index states it. */
  readonly sha256: string;
  /** The folder that holds the package's files. Shared by all builds: read only. */
  readonly root: string;
}

export interface FetchOptions {
  readonly names: readonly string[];
  /** Fetch the packages of shared libraries too that these need, and the ones that those need. */
  readonly withLibraries?: boolean;
  readonly architecture: DebianArchitecture;
  /** Where .debs, unpacked packages and a private copy of the package index are kept. */
  readonly cacheDirectory: string;
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** What the package index says about one package. */
export interface PackageStanza {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
  readonly sha256: string;
  /** Names of the first alternatives of Pre-Depends and Depends, in their order. */
  readonly depends: readonly string[];
}

/** One way to ask apt: with the machine's own package index, or with a private one that needs no root. */
interface AptIndex {
  readonly options: readonly string[];
  /** Makes the index current; absent for the machine's own, which only root may change. */
  readonly refresh?: () => Promise<void>;
}

/** apt's own three retries end after seven seconds; five take half a minute. */
export const APT_RETRIES = 5;
/** How long a private index is taken as current: one build asks for it several times. */
const INDEX_LIFE_MS = 10 * 60_000;

/**
 * Downloads packages by name and unpacks them into the cache, in the order of `names`.
 * A package that is already unpacked in the index's version is not fetched again; two builds at the same time do no harm,
 * because a folder gets its final name only when it is complete.
 * @throws TinsmithError `not_found` for a name that the index does not know, `download_failed` when apt cannot fetch it.
 */
export async function fetchDebianPackages(options: FetchOptions): Promise<readonly UnpackedPackage[]> {
  const indexes = await aptIndexes(options);
  let failure: unknown;
  for (const index of indexes) {
    try {
      await index.refresh?.();
      return await fetchWith(index, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

/**
 * The package that a kernel metapackage (linux-image-cloud-amd64) stands for; any other name stands for itself.
 * @throws TinsmithError as fetchDebianPackages does.
 */
export async function resolveKernelPackage(name: string, options: Omit<FetchOptions, 'names'>): Promise<string> {
  let failure: unknown;
  for (const index of await aptIndexes(options)) {
    try {
      await index.refresh?.();
      const [stanza] = await readStanzas(index, [name], options.signal);
      return stanza?.depends.find((dependency) => /^linux-image-\d/.test(dependency)) ?? name;
    } catch (error) {
      options.signal?.throwIfAborted();
      failure = error;
    }
  }
  throw failure;
}

/** Reads `apt-cache show`. Stanzas without a checksum (installed packages that no source offers) are left out. */
export function parsePackageStanzas(text: string): readonly PackageStanza[] {
  const stanzas: PackageStanza[] = [];
  for (const block of text.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    for (const [, key = '', value = ''] of block.matchAll(/^([A-Za-z0-9-]+): (.*)$/gm)) fields.set(key, value);
    const name = fields.get('Package');
    const version = fields.get('Version');
    const sha256 = fields.get('SHA256');
    if (name === undefined || version === undefined || sha256 === undefined) continue;
    const depends = `${fields.get('Pre-Depends') ?? ''},${fields.get('Depends') ?? ''}`
      .split(',')
      .map((alternatives) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(alternatives)?.[1] ?? '')
      .filter((dependency) => dependency !== '');
    stanzas.push({ name, version, architecture: fields.get('Architecture') ?? '', sha256, depends });
  }
  return stanzas;
}

async function aptIndexes(options: Omit<FetchOptions, 'names'>): Promise<readonly AptIndex[]> {
  const native = await tryProgram(['dpkg', '--print-architecture']);
  const own: AptIndex[] = native.stdout.trim() === options.architecture ? [{ options: [] }] : [];
  return [...own, privateIndex(options)];
}

/** An index in the cache: works without root, for other architectures, and where nobody ran `apt-get update`. */
function privateIndex({ architecture, cacheDirectory, log, signal }: Omit<FetchOptions, 'names'>): AptIndex {
  const folder = resolve(cacheDirectory, `apt-${architecture}`);
  const settings = {
    'Dir::State': join(folder, 'state'),
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': join(folder, 'cache'),
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    'APT::Sandbox::User': 'root',
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  return {
    options,
    refresh: async () => {
      const stamp = join(folder, 'refreshed');
      const { mtimeMs } = await stat(stamp).catch(() => ({ mtimeMs: 0 }));
      if (Date.now() - mtimeMs < INDEX_LIFE_MS) return;
      await mkdir(join(folder, 'state', 'lists', 'partial'), { recursive: true });
      await mkdir(join(folder, 'cache', 'archives', 'partial'), { recursive: true });
      log?.(`reading the package index for ${architecture}`);
      await runProgram(
        ['apt-get', ...options, '-o', `Acquire::Retries=${APT_RETRIES}`, '-q', 'update'],
        signal === undefined ? {} : { signal },
      );
      await writeFile(stamp, '');
    },
  };
}

async function readStanzas(
  index: AptIndex,
  names: readonly string[],
  signal: AbortSignal | undefined,
): Promise<readonly PackageStanza[]> {
  const argv = ['apt-cache', ...index.options, 'show', '--no-all-versions', ...names] as const;
  const { stdout } = await tryProgram([argv[0], ...argv.slice(1)], signal === undefined ? {} : { signal });
  const stanzas = parsePackageStanzas(stdout);
  return names.map((name) => {
    const stanza = stanzas.find((candidate) => candidate.name === name);
    if (stanza !== undefined) return stanza;
    throw new TinsmithError('not_found', `cannot fetch package ${name}: the package index does not know it`);
  });
}

async function fetchWith(index: AptIndex, options: FetchOptions): Promise<readonly UnpackedPackage[]> {
  const packages: UnpackedPackage[] = [];
  const seen = new Set<string>();
  for (let wanted = options.names; wanted.length > 0; ) {
    const stanzas = await readStanzas(index, wanted, options.signal);
    for (const stanza of stanzas) {
      seen.add(stanza.name);
      packages.push(await unpack(index, stanza, options));
    }
    const libraries = stanzas.flatMap(({ depends }) => depends.filter((name) => /^(?:lib(?!c-bin)|zlib)/.test(name)));
    wanted = options.withLibraries === true ? [...new Set(libraries)].filter((name) => !seen.has(name)) : [];
  }
  return packages;
}

async function unpack(index: AptIndex, stanza: PackageStanza, options: FetchOptions): Promise<UnpackedPackage> {
  const { name, version, sha256 } = stanza;
  const title = `${name}_${version.replaceAll(':', '%3a')}_${options.architecture}`;
  const root = resolve(options.cacheDirectory, 'unpacked', `${title}_${sha256.slice(0, 12)}`);
  const unpacked: UnpackedPackage = { name, version, sha256, root };
  if (await exists(root)) return unpacked;

  options.log?.(`fetching ${name} ${version}`);
  const working = `${root}.${process.pid}.partial`;
  await rm(working, { recursive: true, force: true });
  await mkdir(join(working, 'files'), { recursive: true });
  try {
    const settings = ['-o', 'APT::Sandbox::User=root', '-o', `Acquire::Retries=${APT_RETRIES}`];
    const run = { cwd: working, ...(options.signal === undefined ? {} : { signal: options.signal }) };
    await runProgram(['apt-get', ...index.options, ...settings, '-q', 'download', `${name}=${version}`], run);
    const deb = (await readdir(working)).find((file) => file.endsWith('.deb'));
    if (deb === undefined) throw new TinsmithError('download_failed', `cannot fetch package ${name}: apt left no .deb`);
    await verify(join(working, deb), stanza);
    await runProgram(['dpkg-deb', '-x', deb, 'files'], run);
    await moveInPlace(join(working, 'files'), root);
  } finally {
    await rm(working, { recursive: true, force: true });
  }
  return unpacked;
}

async function verify(file: string, stanza: PackageStanza): Promise<void> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  const found = hash.digest('hex');
  if (found === stanza.sha256) return;
  throw new TinsmithError(
    'checksum_mismatch',
    `cannot use package ${stanza.name} ${stanza.version}: its SHA-256 is ${found}, the package index says ${stanza.sha256}`,
  );
}

/** Whoever comes second keeps the first one's folder: both hold the same bytes. */
async function moveInPlace(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!(await exists(to))) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
