import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, readlink, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, systemCodeOf, TinsmithError } from '#proto/errors.ts';
import type { FileAttributes, StagedTree, TargetRoot, Waiting } from './machine.ts';
import { STAGED_PREFIX, StagingFolder } from './staged-tree.ts';

const LONGEST_LINK_CHAIN = 40;

/**
 * A mounted file system as a tree of its own: absolute links start at its root and `..` ends there, as if in a chroot. Nobody
 * else changes it meanwhile.
 */
export class MountedRoot implements TargetRoot {
  readonly device: string;
  readonly mountPoint: string;
  readonly #hasOwners: boolean;

  /** `hasOwners`: false for FAT and the like, which keep neither owners nor modes. */
  constructor(place: { device: string; mountPoint: string; hasOwners: boolean }) {
    this.device = place.device;
    this.mountPoint = place.mountPoint;
    this.#hasOwners = place.hasOwners;
  }

  async readFile(path: string, limitBytes: number): Promise<Buffer | undefined> {
    const place = await this.#follow(path);
    const about = await statOf(place);
    if (about === undefined) return undefined;
    if (!about.isFile()) throw this.#failed('read', path, 'it is no file');
    if (about.size > limitBytes)
      throw this.#failed('read', path, `it has ${about.size} bytes, more than ${limitBytes}`);
    await using file = await open(place, 'r');
    return await file.readFile();
  }

  async attributes(path: string): Promise<Omit<FileAttributes, 'directoryMode'> | undefined> {
    const about = await statOf(await this.#follow(path));
    return about === undefined ? undefined : { mode: about.mode & 0o7777, uid: about.uid, gid: about.gid };
  }

  async resolve(path: string): Promise<string> {
    const place = await this.#follow(path);
    if ((await statOf(place)) !== undefined) return place;
    throw new TinsmithError('not_found', `there is no ${path} on ${this.device}`);
  }

  async writeFile(path: string, contents: Uint8Array, attributes: FileAttributes): Promise<void> {
    try {
      const place = await this.#follow(path);
      if ((await statOf(place))?.isDirectory() === true) throw this.#failed('write', path, 'it is a directory');
      const directory = dirname(place);
      await this.#makeDirectories(directory, attributes);
      await this.#replace(place, contents, attributes);
      await flushDirectory(directory);
      await this.#readBack(path, place, { contents, attributes });
    } catch (thrown) {
      if (thrown instanceof TinsmithError) throw thrown;
      throw this.#failed('write', path, messageOf(thrown), thrown);
    }
  }

  async makeDirectory(path: string, attributes: Omit<FileAttributes, 'directoryMode'>): Promise<void> {
    try {
      const place = await this.#follow(path);
      if ((await statOf(place)) !== undefined) return;
      await this.#makeDirectories(dirname(place), { uid: 0, gid: 0, mode: 0o755, directoryMode: 0o755 });
      await this.#makeDirectories(place, { ...attributes, directoryMode: attributes.mode });
    } catch (thrown) {
      throw this.#failed('make', path, messageOf(thrown), thrown);
    }
  }

  async stage(path: string, { signal }: Waiting): Promise<StagedTree> {
    const destinationPath = latin1(path);
    const follow = (inside: string): Promise<string> => this.#follow(inside, 'latin1');
    const destination = await follow(destinationPath);
    // The nearest directory that exists: what must be renamed into the destination has to be on its file system.
    let parent = destination;
    while (parent !== this.mountPoint && !(await isDirectory(parent))) parent = dirname(parent);
    for (let place = parent; ; place = dirname(place)) {
      for (const name of await readdir(Buffer.from(place, 'latin1'))) {
        if (name.startsWith(STAGED_PREFIX)) await rm(`${place}/${name}`, { recursive: true, force: true });
      }
      if (place === this.mountPoint) break;
    }
    const { device, mountPoint } = this;
    const hasOwners = this.#hasOwners;
    return StagingFolder.create(
      { parent, destination, destinationPath, mountPoint, device, hasOwners, follow },
      signal,
    );
  }

  async #replace(place: string, contents: Uint8Array, attributes: FileAttributes): Promise<void> {
    // Found again by nobody: an earlier try that was cut off left at most one small file with such a name behind.
    const fresh = join(dirname(place), `.tinsmith-${randomBytes(6).toString('hex')}`);
    try {
      {
        await using file = await open(fresh, 'wx', 0o600);
        await file.writeFile(contents);
        if (this.#hasOwners) {
          // In this order: a change of owner clears setuid and setgid.
          await file.chown(attributes.uid, attributes.gid);
          await file.chmod(attributes.mode);
        }
        await file.sync();
      }
      await rename(fresh, place);
    } catch (thrown) {
      await rm(fresh, { force: true });
      throw thrown;
    }
  }

  async #readBack(
    path: string,
    place: string,
    { contents, attributes }: { contents: Uint8Array; attributes: FileAttributes },
  ): Promise<void> {
    const about = await stat(place);
    const found = await this.readFile(path, contents.length);
    if (found === undefined || !found.equals(contents)) throw this.#failed('write', path, 'it reads back differently');
    const isAsAsked =
      (about.mode & 0o7777) === attributes.mode && about.uid === attributes.uid && about.gid === attributes.gid;
    if (this.#hasOwners && !isAsAsked) throw this.#failed('write', path, 'the file system did not take owner and mode');
  }

  /** Missing ones only; existing directories stay as they are. */
  async #makeDirectories(directory: string, attributes: FileAttributes): Promise<void> {
    if (directory === this.mountPoint || (await statOf(directory)) !== undefined) return;
    await this.#makeDirectories(dirname(directory), attributes);
    await mkdir(directory);
    await using handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    if (this.#hasOwners) {
      await handle.chown(attributes.uid, attributes.gid);
      await handle.chmod(attributes.directoryMode);
    }
    await flushDirectory(dirname(directory));
  }

  /** The place of a path in the agent's tree: every link is followed, none leads out. What does not exist ends the following. */
  async #follow(path: string, encoding: 'utf8' | 'latin1' = 'utf8'): Promise<string> {
    const todo = path.split('/').toReversed();
    let inside: string[] = [];
    let links = 0;
    for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
      if (part === '' || part === '.') continue;
      if (part === '..') {
        inside = inside.slice(0, -1);
        continue;
      }
      const target = await linkTarget(join(this.mountPoint, ...inside, part), encoding);
      if (target === undefined) {
        inside.push(part);
        continue;
      }
      links += 1;
      if (links > LONGEST_LINK_CHAIN) throw this.#failed('follow', path, 'its symbolic links go in circles');
      if (target.startsWith('/')) inside = [];
      todo.push(...target.split('/').toReversed());
    }
    return join(this.mountPoint, ...inside);
  }

  #failed(verb: string, path: string, fact: string, cause?: unknown): TinsmithError {
    return new TinsmithError('write_failed', `cannot ${verb} ${path} on ${this.device}: ${fact}`, { cause });
  }
}

/** One character a byte: file names need not be text. */
function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** `place` in latin1. */
async function isDirectory(place: string): Promise<boolean> {
  return (await statOf(Buffer.from(place, 'latin1')))?.isDirectory() === true;
}

async function linkTarget(place: string, encoding: 'utf8' | 'latin1'): Promise<string | undefined> {
  const bytes = Buffer.from(place, encoding);
  const about = await ifThere(lstat(bytes));
  return about?.isSymbolicLink() === true ? readlink(bytes, encoding) : undefined;
}

async function statOf(place: string | Buffer): Promise<Stats | undefined> {
  return ifThere(stat(place));
}

async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (thrown) {
    const code = systemCodeOf(thrown);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw thrown;
  }
}

async function flushDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r');
  await handle.sync();
}
