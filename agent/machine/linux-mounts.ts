import { copyFile, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';
import { isMountableAs, PROBE_BYTES, recognizeFileSystem } from '#transfer/file-system-probe.ts';
import { exists, findDevice } from './block-device.ts';
import { linkDisks } from './disk-links.ts';
import { endProcessesIn } from './left-processes.ts';
import type { InsideCall, ProgramResult, TargetRoot, Waiting } from './machine.ts';
import { MountedRoot } from './mounted-root.ts';
import { runProgram } from './program.ts';
import { waitUntil } from './wait-until.ts';

const UNMOUNT_MS = 10_000;
const WITHOUT_OWNERS = ['vfat', 'msdos', 'ntfs', 'iso9660'];
/** Kernel file systems that a program in a chroot expects, outermost first. */
const INSIDE = ['/dev', '/dev/pts', '/proc', '/sys', '/sys/firmware/efi/efivars'];

interface SharedMount {
  readonly node: string;
  readonly root: MountedRoot;
}

/** The mounts that consecutive actions share. They end before a disk is opened and before the machine goes down. */
export class LinuxMounts {
  readonly #directory: string;
  #shared: SharedMount[] = [];

  constructor(directory: string) {
    this.#directory = directory;
  }

  async mount(device: string, expected: string | undefined, { signal }: Waiting): Promise<TargetRoot> {
    const node = await findDevice(device, signal);
    const shared = this.#shared.find((mount) => mount.node === node);
    if (shared !== undefined) return shared.root;
    const fileSystem = await chooseFileSystem(device, node, expected);
    const mountPoint = join(this.#directory, basename(node));
    await mkdir(mountPoint, { recursive: true, mode: 0o700 });
    const result = await runProgram({ argv: ['mount', '-t', fileSystem, node, mountPoint], signal });
    if (result.exitCode !== 0) {
      throw new TinsmithError(
        'device_unfit',
        `cannot mount ${device} as ${fileSystem}: ${result.lastLines.join(' | ')}`,
      );
    }
    const root = new MountedRoot({ device, mountPoint, hasOwners: !WITHOUT_OWNERS.includes(fileSystem) });
    this.#shared.push({ node, root });
    return root;
  }

  /** Not cancellable: it is what has to happen before anything else may. Harmless when there is nothing mounted. */
  async release(): Promise<void> {
    for (let mount = this.#shared.at(-1); mount !== undefined; mount = this.#shared.at(-1)) {
      await unmount(mount.root.mountPoint);
      this.#shared.pop();
    }
  }

  async runInside(root: TargetRoot, program: InsideCall): Promise<ProgramResult> {
    const { mountPoint } = root;
    await linkDisks();
    await using undo = new AsyncDisposableStack();
    for (const path of INSIDE) {
      if (!(await exists(path))) continue;
      const place = await placeInside(root, path);
      await mkdir(place, { recursive: true });
      await requireMount(['mount', '--bind', path, place], program.signal);
      undo.defer(() => unmount(place));
    }
    // A /run of its own: the machine's holds the agent's identity.
    const run = await placeInside(root, '/run');
    await mkdir(run, { recursive: true });
    await requireMount(['mount', '-t', 'tmpfs', '-o', 'mode=755,size=16m', 'tmpfs', run], program.signal);
    undo.defer(() => unmount(run));
    for (const { device, path } of program.mounts ?? []) {
      const place = await placeInside(root, path);
      await mkdir(place, { recursive: true });
      const node = await findDevice(device, program.signal);
      const fileSystem = await chooseFileSystem(device, node, undefined);
      await requireMount(['mount', '-t', fileSystem, node, place], program.signal);
      undo.defer(() => unmount(place));
    }
    if (program.resolvConf) await lendResolvConf(root, undo);
    // After the program and before the file systems that its remains hold.
    undo.defer(async () => {
      const left = await endProcessesIn(mountPoint);
      if (left.length > 0)
        program.onLine?.('stderr', `tinsmith-agent: ended what was left running: ${left.join(', ')}`);
    });
    return await runProgram({ ...program, argv: ['chroot', mountPoint, ...program.argv] });
  }
}

/** Where a directory of the installed system is; links inside it do not lead out. */
async function placeInside(root: TargetRoot, path: string): Promise<string> {
  try {
    return await root.resolve(path);
  } catch (thrown) {
    if (thrown instanceof TinsmithError && thrown.code === 'not_found') return join(root.mountPoint, path);
    throw thrown;
  }
}

/** The target's own file (often a link into /run) is kept aside; one that an interrupted run left aside is put back first. */
async function lendResolvConf(root: TargetRoot, undo: AsyncDisposableStack): Promise<void> {
  if (!(await exists('/etc/resolv.conf'))) return;
  const own = join(await placeInside(root, '/etc'), 'resolv.conf');
  const aside = `${own}.tinsmith`;
  if (await exists(aside)) await rename(aside, own);
  const isAside = await rename(own, aside).then(
    () => true,
    () => false,
  );
  undo.defer(async () => {
    if (isAside) await rename(aside, own);
    else await rm(own, { force: true });
  });
  await copyFile('/etc/resolv.conf', own);
}

async function chooseFileSystem(device: string, node: string, expected: string | undefined): Promise<string> {
  await using file = await open(node, 'r');
  const { buffer, bytesRead } = await file.read(Buffer.alloc(PROBE_BYTES), 0, PROBE_BYTES, 0);
  const found = recognizeFileSystem(buffer.subarray(0, bytesRead));
  if (found === undefined) {
    if (expected !== undefined && !RECOGNIZED.includes(expected)) return expected;
    throw new TinsmithError(
      'device_unfit',
      `cannot mount ${device}: expected ${expected ?? 'a file system'}, found nothing known on it`,
    );
  }
  if (expected === undefined || isMountableAs(found, expected)) return expected ?? found;
  throw new TinsmithError('device_unfit', `cannot mount ${device}: expected ${expected}, found ${found} on it`);
}

const RECOGNIZED = ['ext2', 'ext3', 'ext4', 'xfs', 'btrfs', 'vfat'];

/** Tried again while something inside is still ending. */
async function unmount(place: string): Promise<void> {
  let said = '';
  const signal = new AbortController().signal;
  const isDone = await waitUntil(
    async () => {
      const result = await runProgram({ argv: ['umount', place], signal });
      said = result.lastLines.join(' ');
      return result.exitCode === 0 ? true : undefined;
    },
    { timeoutMs: UNMOUNT_MS, signal },
  );
  if (isDone === undefined) throw new TinsmithError('write_failed', `cannot unmount ${place}: ${said}`);
}

async function requireMount(argv: readonly string[], signal: AbortSignal): Promise<void> {
  const result = await runProgram({ argv, signal });
  if (result.exitCode === 0) return;
  throw new TinsmithError('command_failed', `cannot bind ${argv.slice(2).join(' to ')}: ${result.lastLines.join(' ')}`);
}
