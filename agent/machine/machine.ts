import type { InventoryDisk } from '#proto/inventory.ts';
import type { FileSystemName } from '#transfer/file-system-probe.ts';
import type { ProgramFilter } from './program-filter.ts';

/**
 * The machine as actions see it: the only way to its disks, file systems and programs. linux-machine.ts is the real one;
 * folder-machine.ts has files for disks and folders for file systems, for tests.
 */
export interface Machine {
  /**
   * Opens a whole disk or a partition for reading and writing, and for nobody else. Mounts that this machine still shares
   * on it are ended first. Throws `device_unfit` when it is missing, mounted, held or in use as swap. The caller closes it.
   */
  openDisk(device: string, options: Waiting): Promise<Disk>;
  /**
   * Makes the kernel read the partition table again, retried while the disk is busy, and waits (bounded) until a node exists
   * for each of `partitions` (numbers). Throws `device_unfit`.
   */
  rereadPartitionTable(device: string, partitions: readonly number[], options: Waiting): Promise<void>;
  /**
   * Mounts a partition, or gives the mount that an earlier action made: one mount serves consecutive actions. Waits (bounded)
   * for its node. The file system is recognised first: throws `device_unfit` with what was expected and what was found.
   */
  mount(device: string, fileSystem: string | undefined, options: Waiting): Promise<TargetRoot>;
  /** Writes everything back and ends all shared mounts, latest first. Harmless when there are none. */
  releaseMounts(): Promise<void>;
  /** Every disk that a system could be installed on, as the inventory lists them, in the kernel's order. */
  disks(): Promise<readonly InventoryDisk[]>;
  /**
   * Makes a path below /dev lead to a disk, and `<path>-partN` to its partitions, for actions and for programs; undefined removes
   * it. A path that leads elsewhere is changed.
   */
  nameDisk(path: string, device: string | undefined): Promise<void>;
  /** The disk that `nameDisk` made the path lead to. */
  namedDisk(path: string): Promise<string | undefined>;
  /** The kernel's own name of a disk or partition, for programs. Waits (bounded) for it. Throws `device_unfit`. */
  nodeOf(device: string, options: Waiting): Promise<string>;
  /** How a device can be erased. Waits (bounded) for its node. Throws `device_unfit` when it is missing. */
  eraseAbilities(device: string, options: Waiting): Promise<EraseAbilities>;
  /** What is on a disk or partition, from its first blocks. Waits (bounded) for its node. */
  probe(device: string, options: Waiting): Promise<FileSystemName | undefined>;
  /** Runs a program to its end. Throws only when it cannot be started or is aborted; look at the exit code. */
  run(program: ProgramCall): Promise<ProgramResult>;
  /** Starts a program that bytes go through, such as a decoder. Undefined: this machine has none such. The caller closes it. */
  startFilter(argv: readonly string[]): Promise<ProgramFilter | undefined>;
  /**
   * Runs a program inside a mounted file system with /dev, /proc and /sys of this machine and an empty /run. /dev/disk/by-uuid
   * and by-partuuid say what is on the disks by then.
   */
  runInside(root: TargetRoot, program: InsideCall): Promise<ProgramResult>;
  /** By what this machine was started. */
  firmware(): Promise<'bios' | 'uefi'>;
  /** A file of the boot environment, such as boot code. Throws `unsupported` when it has none such. */
  bootFile(path: string): Promise<Buffer>;
  /** Loads a kernel to be started by the power request `kexec`; a kernel loaded before is replaced. Throws `command_failed`. */
  loadKernel(kernel: KernelToLoad, options: Waiting): Promise<void>;
}

export interface EraseAbilities {
  /** The kernel's own name, for programs: /dev/sda. */
  readonly node: string;
  readonly isPartition: boolean;
  readonly transport: string;
  /** Whether the kernel can tell it that blocks are not needed any more. */
  readonly canDiscard: boolean;
  /** Whether it makes zeros by itself. */
  readonly canWriteZeros: boolean;
}

export interface InsideCall extends ProgramCall {
  /** Whether the program gets this machine's name servers. */
  readonly resolvConf: boolean;
  /** Partitions that are mounted in the file system while the program runs. */
  readonly mounts?: readonly ExtraMount[];
}

export interface ExtraMount {
  readonly device: string;
  /** Absolute; made when it is missing. */
  readonly path: string;
}

/** Paths as `TargetRoot.resolve` gives them. */
export interface KernelToLoad {
  readonly kernel: string;
  /** Given to the kernel one after the other. */
  readonly initrds: readonly string[];
  readonly commandLine: string;
}

export interface Waiting {
  readonly signal: AbortSignal;
}

/** An exclusively opened disk. Offsets, lengths and the memory of buffers are aligned: see `alignedBuffer`. */
export interface Disk extends AsyncDisposable {
  readonly device: string;
  readonly sizeBytes: number;
  /** 512 or 4096: offsets and lengths are multiples of it. */
  readonly logicalBlockBytes: number;
  /** Fills the buffer. Throws `write_failed` if the disk cannot give it. */
  read(buffer: Uint8Array, offset: number): Promise<void>;
  /** Writes the whole buffer. Several may be in flight if they do not overlap. Throws `write_failed`. */
  write(buffer: Uint8Array, offset: number): Promise<void>;
  /** Whether zeros are made by the disk itself, so that `zero` sends nothing. */
  readonly makesZeros: boolean;
  /**
   * Makes a range read as zeros, by the disk itself where it can (no bytes go to it then), else by writing them. Must not overlap
   * with writes in flight. Throws `write_failed` or the signal's reason.
   */
  zero(range: { readonly offset: number; readonly bytes: number }, options: Waiting): Promise<void>;
  /** Resolves when what was written survives a power cut. */
  flush(): Promise<void>;
}

/** A mounted file system. Paths are absolute on it; symbolic links never lead out of it. */
export interface TargetRoot {
  readonly device: string;
  /** Where it is mounted in the agent's own tree; for programs, not for reading and writing around the methods below. */
  readonly mountPoint: string;
  /** Undefined when there is no such file. Throws `write_failed` for what is not a file or longer than `limitBytes`. */
  readFile(path: string, limitBytes: number): Promise<Buffer | undefined>;
  /**
   * Replaces the file in one step (new file, flush, rename, flush of the directory) and reads it back. Missing directories
   * are made. Throws `write_failed`.
   */
  writeFile(path: string, contents: Uint8Array, attributes: FileAttributes): Promise<void>;
  /** Makes a directory that is missing; what is above it and missing belongs to root, mode 0755. Throws `write_failed`. */
  makeDirectory(path: string, attributes: Omit<FileAttributes, 'directoryMode'>): Promise<void>;
  /** Owner and permission bits; undefined when there is no such file. */
  attributes(path: string): Promise<Omit<FileAttributes, 'directoryMode'> | undefined>;
  /** The path in the agent's own tree, symbolic links followed inside the target. Throws `not_found`. */
  resolve(path: string): Promise<string>;
  /**
   * Starts a tree of files that comes to the directory `path` all at once with `commit`. What an interrupted one left behind is
   * removed first. The caller disposes it.
   */
  stage(path: string, options: Waiting): Promise<StagedTree>;
}

/**
 * Files that are made aside, on the same file system, and moved to their place when they are complete. Until `commit` nothing
 * of the target has changed; disposing it removes what was not moved.
 *
 * Paths are relative and have one character a byte (latin1), since file names are bytes. A path that leads out of the tree, by
 * `..` or by a link that was made in it, is refused with `corrupt_image`. What exists in the tree is replaced, except by a
 * file a directory that holds something. Throws `write_failed`.
 */
export interface StagedTree extends AsyncDisposable {
  makeDirectory(path: string, attributes: TreeAttributes): Promise<void>;
  makeFile(path: string, attributes: TreeAttributes): Promise<StagedFile>;
  makeSymbolicLink(path: string, target: string, attributes: TreeAttributes): Promise<void>;
  /** `existing` is a file of this tree. */
  makeHardLink(path: string, existing: string): Promise<void>;
  makeNode(path: string, node: DeviceNode, attributes: TreeAttributes): Promise<void>;
  /**
   * Makes everything safe on the disk, then moves it into the target: directories that exist are kept and get the attributes
   * that were given, symbolic links to directories stay links, files are replaced one by one; `boot` comes last. Conflicts
   * are found before the first move.
   */
  commit(): Promise<void>;
}

export interface StagedFile {
  /** Ranges that are never written are holes. */
  write(bytes: Uint8Array, offset: number): Promise<void>;
  /** Gives it its length and attributes. */
  finish(sizeBytes: number): Promise<void>;
}

export interface DeviceNode {
  readonly kind: 'character' | 'block' | 'fifo';
  readonly major: number;
  readonly minor: number;
}

export interface TreeAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970; kept to the microsecond. */
  readonly modifiedAt: number;
  /** Extended attributes by the kernel's names: capabilities, ACLs, SELinux labels. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

export interface FileAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly directoryMode: number;
}

export interface ProgramCall {
  /** Program and arguments; no shell. */
  readonly argv: readonly string[];
  /** Beside PATH. Secrets go here or to standard input, never into `argv`. */
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** TERM, then KILL after a grace time. */
  readonly signal: AbortSignal;
  /** Every line as it comes; without its line end, cut at 16 KiB. */
  onLine?(stream: 'stdout' | 'stderr', line: string): void;
}

export interface ProgramResult {
  /** 128 + number of the signal if a signal ended it, as shells say. */
  readonly exitCode: number;
  /** The last lines of both streams, for error sentences. */
  readonly lastLines: readonly string[];
}
