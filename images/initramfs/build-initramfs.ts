import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TinsmithError } from '#proto/errors.ts';
import {
  type DebianArchitecture,
  type FetchOptions,
  fetchDebianPackages,
  resolveKernelPackage,
  type UnpackedPackage,
} from '../packages/debian-packages.ts';
import { AGENT_LIBRARY_PACKAGES, bootTools } from './boot-tools.ts';
import { bootTree } from './boot-tree.ts';
import { type Compression, compressor } from './compression.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { kernelRelease } from './kernel-image.ts';
import { selectKernelModules } from './kernel-modules.ts';
import { buildLocalBoot } from './local-boot.ts';
import { WANTED_MODULES } from './module-list.ts';

export type InitramfsArchitecture = 'x64' | 'arm64';

/** Where the kernel comes from: a Debian package, or files that the user has. */
export type KernelSource =
  | { readonly package: string }
  | { readonly vmlinuz: string; readonly modulesDirectory: string };

export interface InitramfsOptions {
  /** Gets `vmlinuz`, `initramfs`, `manifest.json` and for x86-64 `localboot.efi`; made when it is missing. */
  readonly outDirectory: string;
  /** Where Debian packages are kept between builds. */
  readonly cacheDirectory: string;
  /** The packed agent executable for `architecture`. */
  readonly agentFile: string;
  readonly architecture: InitramfsArchitecture;
  /** Default: Debian's kernel for virtual machines. */
  readonly kernel?: KernelSource;
  /** Folders whose content is laid over the boot environment's root, in this order. */
  readonly addDirectories?: readonly string[];
  /** Packages of optional tools that are left out. */
  readonly omitTools?: readonly string[];
  /** Default: zstd, level 19. */
  readonly compression?: Compression;
  /** Seconds since 1970 that all files carry (SOURCE_DATE_EPOCH). Default 0. */
  readonly modifiedAt?: number;
  /** Told what is being done, one line a step. */
  readonly log?: (line: string) => void;
  readonly signal?: AbortSignal;
}

export interface BuiltInitramfs {
  readonly kernelFile: string;
  readonly initramfsFile: string;
  readonly manifestFile: string;
  readonly manifest: InitramfsManifest;
}

/** What `manifest.json` says. It holds nothing that differs between two builds of the same input. */
export interface InitramfsManifest {
  readonly format: 1;
  readonly architecture: InitramfsArchitecture;
  readonly kernel: FileFacts & { readonly release: string; readonly package?: string; readonly version?: string };
  readonly initramfs: FileFacts & { readonly unpackedBytes: number; readonly compression: Compression };
  readonly agent: FileFacts;
  readonly packages: readonly { readonly name: string; readonly version: string; readonly sha256: string }[];
  readonly modules: {
    readonly included: readonly string[];
    readonly builtIn: readonly string[];
    readonly absent: readonly string[];
  };
  /** Names (not paths) of the added folders. */
  readonly added: readonly string[];
}

interface FileFacts {
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

/** A kernel's files, wherever they came from. */
interface Kernel {
  readonly image: string;
  readonly release: string;
  readonly modulesDirectory: string;
  readonly from?: UnpackedPackage;
}

const PLATFORMS: Readonly<
  Record<InitramfsArchitecture, { debian: DebianArchitecture; triplet: string; kernel: string }>
> = {
  x64: { debian: 'amd64', triplet: 'x86_64-linux-gnu', kernel: 'linux-image-cloud-amd64' },
  arm64: { debian: 'arm64', triplet: 'aarch64-linux-gnu', kernel: 'linux-image-arm64' },
};

/**
 * Builds the boot environment: kernel and initramfs that a machine boots over the network. Needs no root. The same input
 * gives the same bytes. The files replace older ones when they are complete; an interrupted build leaves the old.
 * @throws TinsmithError `not_found`, `download_failed`, `command_failed` for packages, `invalid_input` for a kernel,
 *   module or added file that does not fit.
 */
export async function buildInitramfs(options: InitramfsOptions): Promise<BuiltInitramfs> {
  const { architecture, log, signal, addDirectories = [], compression = { format: 'zstd', level: 19 } } = options;
  const { debian, triplet } = PLATFORMS[architecture];
  const agent = await fileFacts(options.agentFile, 'agent');
  const apt: Omit<FetchOptions, 'names'> = {
    architecture: debian,
    cacheDirectory: options.cacheDirectory,
    ...(log === undefined ? {} : { log }),
    ...(signal === undefined ? {} : { signal }),
  };
  const kernel = await findKernel(options.kernel ?? { package: PLATFORMS[architecture].kernel }, apt);
  const tools = bootTools(options.omitTools ?? [], triplet);
  const names = [...tools.map((tool) => tool.package), ...AGENT_LIBRARY_PACKAGES];
  const packages = await fetchDebianPackages({ ...apt, names, withLibraries: true });
  const modules = await selectKernelModules(kernel.modulesDirectory, WANTED_MODULES);
  const { agentFile } = options;
  const { release } = kernel;
  const tree = await bootTree({ packages, tools, triplet, agentFile, kernelRelease: release, modules, addDirectories });

  log?.(`packing ${tree.entries.length} files with ${compression.format}`);
  await mkdir(options.outDirectory, { recursive: true });
  const working = join(options.outDirectory, `.partial-${process.pid}`);
  await rm(working, { recursive: true, force: true });
  await mkdir(working);
  try {
    const archive = await writeArchive(tree.entries, join(working, 'initramfs'), { ...options, compression });
    await copyFile(kernel.image, join(working, 'vmlinuz'));
    // Installed UEFI machines that boot from the network first are sent to their disk by it; Debian has it for x86-64.
    const hasLocalBoot = architecture === 'x64' && process.arch === 'x64';
    if (hasLocalBoot) await buildLocalBoot(join(working, 'localboot.efi'), apt);
    const manifest: InitramfsManifest = {
      format: 1,
      architecture,
      kernel: { release, ...packageFacts(kernel), ...(await fileFacts(kernel.image, 'kernel')) },
      initramfs: { ...archive, compression },
      agent,
      packages: tree.usedPackages.map(({ name, version, sha256 }) => ({ name, version, sha256 })),
      modules: { included: modules.modules.map(({ name }) => name), builtIn: modules.builtIn, absent: modules.absent },
      added: addDirectories.map((directory) => basename(resolve(directory))),
    };
    await writeFile(join(working, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    for (const name of ['vmlinuz', 'initramfs', ...(hasLocalBoot ? ['localboot.efi'] : []), 'manifest.json']) {
      await rename(join(working, name), join(options.outDirectory, name));
    }
    return {
      kernelFile: join(options.outDirectory, 'vmlinuz'),
      initramfsFile: join(options.outDirectory, 'initramfs'),
      manifestFile: join(options.outDirectory, 'manifest.json'),
      manifest,
    };
  } finally {
    await rm(working, { recursive: true, force: true });
  }
}

async function findKernel(source: KernelSource, apt: Omit<FetchOptions, 'names'>): Promise<Kernel> {
  if ('vmlinuz' in source) {
    const release = basename(resolve(source.modulesDirectory));
    return checkRelease({ image: source.vmlinuz, modulesDirectory: source.modulesDirectory, release });
  }
  const name = await resolveKernelPackage(source.package, apt);
  const [from] = await fetchDebianPackages({ ...apt, names: [name] });
  const root = from?.root ?? '';
  for (const folder of [join(root, 'lib/modules'), join(root, 'usr/lib/modules')]) {
    const [release] = await readdir(folder).catch(() => []);
    if (from === undefined || release === undefined) continue;
    return checkRelease({
      image: join(root, `boot/vmlinuz-${release}`),
      modulesDirectory: join(folder, release),
      release,
      from,
    });
  }
  throw new TinsmithError('invalid_input', `cannot take the kernel from ${name}: the package holds no kernel modules`);
}

/** Modules of another kernel would all be refused on the machine; say so here instead. */
async function checkRelease(kernel: Kernel): Promise<Kernel> {
  const said = await kernelRelease(kernel.image);
  if (said === undefined || said === kernel.release) return kernel;
  throw new TinsmithError(
    'invalid_input',
    `cannot combine kernel ${kernel.image} with modules ${kernel.modulesDirectory}: the kernel is ${said}, the modules are for ${kernel.release}`,
  );
}

function packageFacts({ from }: Kernel): { package?: string; version?: string } {
  return from === undefined ? {} : { package: from.name, version: from.version };
}

async function writeArchive(
  entries: readonly CpioEntry[],
  file: string,
  { compression, modifiedAt = 0, signal }: InitramfsOptions & { readonly compression: Compression },
): Promise<FileFacts & { unpackedBytes: number }> {
  const hash = createHash('sha256');
  let unpackedBytes = 0;
  const archive = Readable.from(writeCpio(entries, { modifiedAt })).on('data', (bytes: Uint8Array) => {
    unpackedBytes += bytes.length;
  });
  const settings = signal === undefined ? {} : { signal };
  await pipeline(archive, compressor(compression), hashing(hash), createWriteStream(file), settings);
  return { sizeBytes: (await stat(file)).size, sha256: hash.digest('hex'), unpackedBytes };
}

function hashing(hash: Hash): Transform {
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      done(null, chunk);
    },
  });
}

async function fileFacts(file: string, role: string): Promise<FileFacts> {
  const facts = await stat(file).catch((error: unknown) => {
    throw new TinsmithError('not_found', `cannot read the ${role} ${file}: no such file`, { cause: error });
  });
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return { sizeBytes: facts.size, sha256: hash.digest('hex') };
}
