import { type DiskHints, diskText, matchDisk } from '#proto/disk-hints.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { InventoryDisk } from '#proto/inventory.ts';
import { pause } from '#transfer/pause.ts';
import type { ActionContext } from './action-context.ts';

/** A driver that is still looking for its disks. */
const APPEAR_MS = 30_000;
/** Hints that several disks could have are believed only when no disk has come or gone for so long. */
const SETTLED_MS = 1000;
const LOOK_EVERY_MS = 100;

/** What of an action's call may name a disk. */
interface MaybeNaming {
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

/**
 * Makes /dev/disk/by-hint/<index> lead to the disk that the record's hints mean, for this action and the programs that it runs; only
 * the disks that the action names. Throws `device_unfit` when none is meant, or several.
 */
export async function nameHintedDisks({ environment, command }: MaybeNaming, context: ActionContext): Promise<void> {
  const { facts } = context;
  const values = [...Object.values(environment), ...command];
  for (const path of new Set(values.join('\n').match(/\/dev\/disk\/by-hint\/\d+(?!\d)/g))) {
    // A file's text may mention such a path without meaning it.
    const isMeant = values.some((value) => value.trim() === path || value.trim().startsWith(`${path}-part`));
    if (isMeant || facts.disks?.some(({ device }) => device === path) === true) await nameHintedDisk(path, context);
  }
}

/** One of them. Harmless for a path that the record gives no hints for and that is no path by hint. */
export async function nameHintedDisk(path: string, context: ActionContext): Promise<void> {
  if (!path.startsWith('/dev/disk/by-hint/')) return;
  const { facts, machine, log } = context;
  const hints = facts.disks?.find(({ device }) => device === path)?.hints;
  if (hints === undefined) {
    const sentence = `there is no ${path}: the record of ${facts.hardware} has no hints for such a disk`;
    throw new TinsmithError('device_unfit', sentence);
  }
  const before = await machine.namedDisk(path);
  // Not left behind for anybody to use when the hints mean no disk any more.
  await machine.nameDisk(path, undefined);
  const disk = await findDisk(path, hints, before, context);
  await machine.nameDisk(path, disk.device);
  if (disk.device !== before) log('agent', `${path} is ${diskText(disk)}`);
}

/** `before`: the disk that an earlier action was given; it stays while the hints mean it. */
async function findDisk(
  path: string,
  hints: DiskHints,
  before: string | undefined,
  { machine, signal }: ActionContext,
): Promise<InventoryDisk> {
  const isUnique = [hints.byId, hints.serial, hints.wwn].some((hint) => hint !== undefined);
  const startedAt = performance.now();
  let changedAt = startedAt;
  let seen = '';
  for (;;) {
    signal.throwIfAborted();
    const disks = await machine.disks();
    const now = performance.now();
    const looks = disks.map(({ device }) => device).join(' ');
    if (looks !== seen && seen !== '') changedAt = now;
    seen = looks;
    const match = matchDisk(hints, disks);
    const isSettled = now - changedAt >= SETTLED_MS;
    if ('disk' in match) {
      if (isUnique || isSettled || match.disk.device === before) return match.disk;
    } else if (isSettled && (!match.isMissing || now - startedAt >= APPEAR_MS)) {
      throw new TinsmithError('device_unfit', `cannot tell which disk ${path} is: ${match.fault}`);
    }
    await pause(LOOK_EVERY_MS, signal);
  }
}
