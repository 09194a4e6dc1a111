import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import {
  chmod,
  type FileHandle,
  lchown,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  readlink,
  rm,
  rmdir,
  symlink,
  unlink,
} from 'node:fs/promises';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { ExtendedAttributes } from './extended-attributes.ts';
import type { DeviceNode, StagedFile, StagedTree, TreeAttributes } from './machine.ts';
import { moveTree } from './move-tree.ts';
import { runProgram } from './program.ts';

const LONGEST_LINK_CHAIN = 40;
/** What staged trees are called while they are made; one that is found later was interrupted. */
export const STAGED_PREFIX = '.tinsmith-archive-';

export interface StagedPlace {
  /** Existing directory of the target that holds the tree meanwhile; in the agent's own tree, as `destination`. */
  readonly parent: string;
  /** Where its content belongs, and the same as a path of the target. */
  readonly destination: string;
  readonly destinationPath: string;
  readonly mountPoint: string;
  readonly device: string;
  /** False for FAT and the like: neither owners, modes nor attributes are kept. */
  readonly hasOwners: boolean;
  /** Of a path of the target, in the agent's own tree; links followed inside the target. */
  readonly follow: (path: string) => Promise<string>;
}

/** A tree of files in a directory of its own, on the target's file system. */
export class StagingFolder implements StagedTree {
  readonly #place: StagedPlace;
  readonly #signal: AbortSignal;
  readonly #folder: string;
  readonly #xattrs: ExtendedAttributes;
  /** Directories that are there, by their path as it was asked for → where they are. */
  #known = new Map<string, string>();
  /** Directories that the archive names: they get their attributes at the end, when nothing changes in them any more. */
  readonly #directories = new Map<string, TreeAttributes>();
  /** The file that is being made: one at a time, as they come. */
  #open: FileHandle | undefined;

  private constructor(place: StagedPlace, folder: string, signal: AbortSignal) {
    this.#place = place;
    this.#folder = folder;
    this.#signal = signal;
    this.#xattrs = new ExtendedAttributes(place.device, signal);
  }

  static async create(place: StagedPlace, signal: AbortSignal): Promise<StagingFolder> {
    const folder = `${place.parent}/${STAGED_PREFIX}${randomBytes(6).toString('hex')}`;
    await mkdir(folder, { mode: 0o700 });
    return new StagingFolder(place, folder, signal);
  }

  async makeDirectory(path: string, attributes: TreeAttributes): Promise<void> {
    await this.#making(path, async (place, inside) => {
      const found = await lstatOf(bytes(place));
      if (found?.isDirectory() !== true) {
        if (found !== undefined) await this.#remove(place, found);
        await makeDirectory(bytes(place));
      }
      this.#directories.set(inside, attributes);
    });
  }

  async makeFile(path: string, attributes: TreeAttributes): Promise<StagedFile> {
    return this.#making(path, async (place) => {
      const file = await this.#replacing(place, () => open(bytes(place), 'wx', 0o600));
      this.#open = file;
      let written = 0;
      return {
        write: async (data, offset) =>
          this.#failing(path, async () => {
            await writeAll(file, data, offset);
            written = Math.max(written, offset + data.length);
          }),
        finish: async (sizeBytes) =>
          this.#failing(path, async () => {
            if (written !== sizeBytes) await file.truncate(sizeBytes);
            await this.#setFileAttributes(file, place, attributes);
            await file.close();
            this.#open = undefined;
          }),
      };
    });
  }

  async makeSymbolicLink(path: string, target: string, attributes: TreeAttributes): Promise<void> {
    await this.#making(path, async (place) => {
      await this.#replacing(place, () => symlink(bytes(target), bytes(place)));
      await this.#setAttributes(place, attributes, 'link');
    });
  }

  async makeHardLink(path: string, existing: string): Promise<void> {
    await this.#making(path, async (place) => {
      const from = await this.#locate(existing);
      const found = await lstatOf(bytes(from.place));
      if (found === undefined || found.isDirectory()) {
        throw refused(path, `it is a hard link to ${shown(existing)}, which is no file of the archive`);
      }
      if (from.place === place) return;
      await this.#clear(place);
      await link(bytes(from.place), bytes(place));
    });
  }

  async makeNode(path: string, node: DeviceNode, attributes: TreeAttributes): Promise<void> {
    await this.#making(path, async (place) => {
      await this.#clear(place);
      const name = textOf(path, place);
      const numbers = [String(node.major), String(node.minor)];
      const letter = node.kind === 'character' ? 'c' : 'b';
      const argv = node.kind === 'fifo' ? ['mkfifo', name] : ['mknod', name, letter, ...numbers];
      const result = await runProgram({ argv, signal: this.#signal });
      if (result.exitCode !== 0) throw new Error(result.lastLines.join(' '));
      await this.#setAttributes(place, attributes, 'node');
    });
  }

  async commit(): Promise<void> {
    const { device, destination, destinationPath, hasOwners } = this.#place;
    await this.#failing(destinationPath, async () => {
      if (hasOwners) await this.#xattrs.flush();
      await this.#sync();
      await moveTree(this.#folder, {
        device,
        destination,
        destinationPath,
        isDirectory: async (path) => (await lstatOf(bytes(await this.#place.follow(path))))?.isDirectory() === true,
        follow: this.#place.follow,
      });
      await this.#finishDirectories();
      await this.#sync();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open?.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Deepest first: what is set in a directory changes its time. */
  async #finishDirectories(): Promise<void> {
    const deepestFirst = [...this.#directories].toSorted(([a], [b]) => b.length - a.length);
    for (const [inside, attributes] of deepestFirst) {
      this.#signal.throwIfAborted();
      const place = await this.#place.follow(`${this.#place.destinationPath}/${inside}`);
      await this.#setAttributes(place, attributes, 'directory');
    }
    // Last of all: a default ACL must not touch what is unpacked below it. Times are not changed by it.
    if (this.#place.hasOwners) await this.#xattrs.flush();
  }

  async #setFileAttributes(file: FileHandle, place: string, attributes: TreeAttributes): Promise<void> {
    if (this.#place.hasOwners) {
      // In this order: a change of owner clears setuid, setgid and capabilities.
      await file.chown(attributes.uid, attributes.gid);
      await file.chmod(attributes.mode);
      await this.#xattrs.add(place, attributes.xattrs);
    }
    const time = timeOf(attributes);
    await file.utimes(time, time);
  }

  async #setAttributes(place: string, attributes: TreeAttributes, kind: 'link' | 'node' | 'directory'): Promise<void> {
    if (this.#place.hasOwners) {
      await lchown(bytes(place), attributes.uid, attributes.gid);
      // A link has no mode of its own; what is no link is not followed here: `place` has none in it.
      if (kind !== 'link') await chmod(bytes(place), attributes.mode);
      await this.#xattrs.add(place, attributes.xattrs);
    }
    const time = timeOf(attributes);
    await lutimes(bytes(place), time, time);
  }

  /** Directories on the way are made; an error names the path. `inside` is the path in the tree, links resolved. */
  async #making<T>(path: string, work: (place: string, inside: string) => Promise<T>): Promise<T> {
    return this.#failing(path, async () => {
      const { place, inside } = await this.#locate(path);
      return work(place, inside);
    });
  }

  async #failing<T>(path: string, work: () => Promise<T>): Promise<T> {
    this.#signal.throwIfAborted();
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof TinsmithError) throw thrown;
      const fact = thrown instanceof Error ? thrown.message.replaceAll(this.#folder, '') : String(thrown);
      const sentence = `cannot unpack ${shown(path)} to ${this.#place.device}: ${fact}`;
      throw new TinsmithError('write_failed', sentence, { cause: thrown });
    }
  }

  /** The last part is not followed: it is what is made. */
  async #locate(path: string): Promise<{ readonly place: string; readonly inside: string }> {
    const parts = partsOf(path);
    const name = parts.at(-1);
    if (name === undefined) return { place: this.#folder, inside: '' };
    const directory = await this.#directory(parts.slice(0, -1), path);
    const inside = directory === '' ? name : `${directory}/${name}`;
    return { place: `${this.#folder}/${inside}`, inside };
  }

  /** A directory of the tree, made where it is missing. Links that were made in the tree are followed inside it, never out. */
  async #directory(parts: readonly string[], path: string): Promise<string> {
    const key = parts.join('/');
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const base = this.#place.destinationPath.split('/').filter((part) => part !== '');
    const walk: Walk = { at: [...base], todo: parts.toReversed(), links: 0 };
    for (let part = walk.todo.pop(); part !== undefined; part = walk.todo.pop()) {
      if (part === '' || part === '.') continue;
      walk.at = part === '..' ? walk.at.slice(0, -1) : [...walk.at, part];
      // A link may lead out and back in; what counts is where the way ends.
      if (isBelow(walk.at, base)) await this.#enter(walk, base, path);
    }
    if (!isBelow(walk.at, base)) throw refused(path, 'a link on its way leads out of the destination');
    const directory = walk.at.slice(base.length).join('/');
    this.#known.set(key, directory);
    return directory;
  }

  async #enter(walk: Walk, base: readonly string[], path: string): Promise<void> {
    const place = bytes([this.#folder, ...walk.at.slice(base.length)].join('/'));
    const found = await lstatOf(place);
    if (found === undefined) {
      await makeDirectory(place);
    } else if (found.isSymbolicLink()) {
      walk.links += 1;
      if (walk.links > LONGEST_LINK_CHAIN) throw refused(path, 'the links on its way go in circles');
      const target = (await readlink(place, 'buffer')).toString('latin1');
      // As in the target: an absolute link starts at its root, not at the destination.
      walk.at = target.startsWith('/') ? [] : walk.at.slice(0, -1);
      walk.todo.push(...target.split('/').toReversed());
    } else if (!found.isDirectory()) {
      throw refused(path, 'something on its way is no directory');
    }
  }

  /** Rarely is something there: looking first would be one call more for every file. */
  async #replacing<T>(place: string, make: () => Promise<T>): Promise<T> {
    try {
      return await make();
    } catch (thrown) {
      if (systemCodeOf(thrown) !== 'EEXIST') throw thrown;
    }
    await this.#clear(place);
    return make();
  }

  async #clear(place: string): Promise<void> {
    const found = await lstatOf(bytes(place));
    if (found !== undefined) await this.#remove(place, found);
  }

  async #remove(place: string, found: Stats): Promise<void> {
    if (place === this.#folder) throw new Error('it is the destination itself');
    await this.#xattrs.leave(place, found.nlink);
    if (found.isDirectory()) {
      await rmdir(bytes(place));
      this.#directories.delete(place.slice(this.#folder.length + 1));
    } else {
      await unlink(bytes(place));
    }
    // What was found through it before may be elsewhere now.
    this.#known = new Map();
  }

  /** The whole file system: a call for each of a hundred thousand files would take as many turns of the disk. */
  async #sync(): Promise<void> {
    const result = await runProgram({ argv: ['sync', '-f', this.#place.mountPoint], signal: this.#signal });
    if (result.exitCode !== 0) throw new Error(result.lastLines.join(' '));
  }
}

/** On the way to a directory: where it got to from the target's root, and what is still to go, the next part last. */
interface Walk {
  at: string[];
  readonly todo: string[];
  links: number;
}

function isBelow(parts: readonly string[], base: readonly string[]): boolean {
  return base.every((name, index) => parts[index] === name);
}

/** Leading slashes are dropped, as tar(1) does; `..` is refused. */
function partsOf(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw refused(path, 'its name leads upwards');
  if (path.includes('\0')) throw refused(path, 'its name holds a NUL');
  return parts;
}

/** Node takes a negative number for a mistake, but not a date before 1970. */
function timeOf({ modifiedAt }: TreeAttributes): number | Date {
  return modifiedAt < 0 ? new Date(modifiedAt * 1000) : modifiedAt;
}

/** With mode 0755 whatever the umask. */
async function makeDirectory(place: Buffer): Promise<void> {
  await mkdir(place);
  await chmod(place, 0o755);
}

async function writeAll(file: FileHandle, data: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    done += (await file.write(data, done, data.length - done, offset + done)).bytesWritten;
  }
}

async function lstatOf(place: Buffer): Promise<Stats | undefined> {
  try {
    return await lstat(place);
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
}

function bytes(path: string): Buffer {
  return Buffer.from(path, 'latin1');
}

/** For programs: their arguments are text. */
function textOf(path: string, place: string): string {
  const text = bytes(place).toString('utf8');
  if (Buffer.from(text, 'utf8').toString('latin1') === place) return text;
  throw refused(path, 'a device whose name is no UTF-8 is not supported');
}

function shown(path: string): string {
  return JSON.stringify(bytes(path).toString('utf8').slice(0, 300));
}

function refused(path: string, fact: string): TinsmithError {
  return new TinsmithError('corrupt_image', `the archive holds ${shown(path)}, which is not unpacked: ${fact}`);
}
