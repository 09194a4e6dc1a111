import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { messageOf, systemCodeOf, TinsmithError } from '#proto/errors.ts';
import { deviceUse } from './device-users.ts';
import {
  changeBetween,
  type DeviceMark,
  deviceFolder,
  deviceMark,
  diskFolder,
  partitionFolders,
  whyUncounted,
} from './device-writes.ts';

/** What the kernel counts a device's size in, whatever its own blocks are. */
const SECTOR_BYTES = 512;

/** A block device that is read, and who might write to it meanwhile. */
export interface BlockDevice {
  /** Closed by its owner. While it is open nobody can mount the device, unless it was mounted before. */
  readonly handle: FileHandle;
  readonly sizeBytes: number;
  /** Throws `conflict` when somebody has written to it since. */
  requireUnchanged(): Promise<void>;
}

interface Claim {
  readonly handle: FileHandle;
  /** Nobody else has it, and nobody gets it. */
  readonly isOurs: boolean;
}

/**
 * Takes a block device for reading; `opened` stays its owner's. A device has no date that would tell who wrote to it, but the kernel
 * counts what is written. Throws `device_unfit` for one that may be written to all the time, and where nothing is counted.
 */
export async function claimDevice(path: string, opened: FileHandle): Promise<BlockDevice> {
  const folder = await deviceFolder((await opened.stat({ bigint: true })).rdev).catch((cause: unknown) => {
    throw uncounted(path, `${messageOf(cause)}: copy it to a file first`, cause);
  });
  const reason = await whyUncounted(folder);
  if (reason !== undefined) throw uncounted(path, reason);
  const disk = await diskFolder(folder);
  const folders = [folder, ...(disk === folder ? await partitionFolders(disk) : [])];
  const { handle, isOurs } = await claim(path, opened, folders);
  try {
    const before = await settledMark(path, folder, handle);
    return {
      handle,
      sizeBytes: Number(before.size) * SECTOR_BYTES,
      async requireUnchanged() {
        const change = changeBetween(before, await settledMark(path, folder, handle));
        if (change !== undefined) throw changed(path, change);
        const use = isOurs ? undefined : await deviceUse(folders);
        if (use?.kind === 'write') throw changed(path, use.fact);
      },
    };
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

/** The kernel gives a device to one at a time of those who ask so, and a mount and whatever lies on it do (open(2), O_EXCL). */
async function claim(path: string, opened: FileHandle, folders: readonly string[]): Promise<Claim> {
  // The descriptor, not the name, which may be another device's by now.
  const place = `/proc/self/fd/${opened.fd}`;
  try {
    return { handle: await open(place, constants.O_RDONLY | constants.O_EXCL), isOurs: true };
  } catch (cause) {
    if (systemCodeOf(cause) !== 'EBUSY') throw cause;
    const use = await deviceUse(folders);
    if (use.kind === 'read') return { handle: await open(place, constants.O_RDONLY), isOurs: false };
    const others = 'another program or import has it, or it is mounted in another namespace: wait for that, or stop it';
    const fact = use.kind === 'write' ? use.fact : others;
    throw new TinsmithError('device_unfit', `cannot import the device ${path}: ${fact}`, { cause });
  }
}

/** What waits in memory is written first: it counts only then. What waits under another name of the same disk is not read either. */
async function settledMark(path: string, folder: string, handle: FileHandle): Promise<DeviceMark> {
  try {
    await handle.sync();
    return await deviceMark(folder);
  } catch (cause) {
    throw uncounted(path, `${messageOf(cause)}: copy it to a file first`, cause);
  }
}

function uncounted(path: string, fact: string, cause?: unknown): TinsmithError {
  const sentence = `cannot import the device ${path}: nobody could see whether it changes meanwhile: ${fact}`;
  return new TinsmithError('device_unfit', sentence, { cause });
}

function changed(path: string, fact: string): TinsmithError {
  const fix = 'import it again when nobody writes to it';
  return new TinsmithError('conflict', `the device ${path} changed while it was read: ${fact}: ${fix}`);
}
