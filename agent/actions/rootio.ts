import type { RootioParams } from '#proto/actions/rootio.ts';
import { type FileSystemLayout, parseStorageLayout, type StorageLayout } from '#proto/actions/storage-layout.ts';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { clearDisk } from '../write/clear-disk.ts';
import { partitionDisk } from '../write/partition-disk.ts';
import type { ActionContext } from './action-context.ts';
import { requireSuccess } from './program-failure.ts';
import { makeVolumeGroups, releaseVolumeGroups } from './volume-groups.ts';

const ANSWER_MS = 60_000;

/** Runs one step on every disk or file system of the layout. Each step starts from nothing, so it may run again. */
export async function rootio({ step, table, layout }: RootioParams, context: ActionContext): Promise<void> {
  const storage = 'inline' in layout ? layout.inline : await fetchLayout(layout.url, context.signal);
  await STEPS[step](storage, context, table);
}

type Step = (storage: StorageLayout, context: ActionContext, table: 'gpt' | 'mbr') => Promise<void>;

const STEPS: Readonly<Record<RootioParams['step'], Step>> = {
  partition: partitionAll,
  format: formatAll,
  mount: mountAll,
  wipe: wipeAll,
};

async function fetchLayout(url: string, signal: AbortSignal): Promise<StorageLayout> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
  try {
    const response = await fetch(url, { signal: limit });
    if (response.ok) return parseStorageLayout(await response.text(), url);
    throw new TinsmithError('download_failed', `${url} answered ${response.status}: set METADATA or MIRROR_HOST`);
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof TinsmithError) throw thrown;
    const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : thrown;
    const fact = messageOf(cause);
    throw new TinsmithError('download_failed', `cannot fetch ${url}: ${fact}`, { cause: thrown });
  }
}

async function partitionAll(
  { disks, volumeGroups }: StorageLayout,
  context: ActionContext,
  table: 'gpt' | 'mbr',
): Promise<void> {
  await releaseVolumeGroups(volumeGroups, context);
  for (const layout of disks) {
    if (layout.partitions.length === 0) continue;
    {
      await using disk = await context.machine.openDisk(layout.device, context);
      await partitionDisk(disk, layout.partitions, table);
    }
    const numbers = layout.partitions.map((partition) => partition.number);
    await context.machine.rereadPartitionTable(layout.device, numbers, context);
    context.log('agent', `made ${numbers.length} ${table} partition(s) on ${layout.device}`);
  }
  await makeVolumeGroups(volumeGroups, context);
}

async function wipeAll({ disks, volumeGroups }: StorageLayout, context: ActionContext): Promise<void> {
  await releaseVolumeGroups(volumeGroups, context);
  for (const { device } of disks) {
    {
      await using disk = await context.machine.openDisk(device, context);
      await clearDisk(disk, context);
    }
    await context.machine.rereadPartitionTable(device, [], context);
    context.log('agent', `wiped ${device}`);
  }
}

async function formatAll(
  { fileSystems }: StorageLayout,
  { machine, log, progress, signal }: ActionContext,
): Promise<void> {
  await machine.releaseMounts();
  for (const [index, fileSystem] of fileSystems.entries()) {
    const argv = mkfsCommand(fileSystem, await machine.nodeOf(fileSystem.device, { signal }));
    const result = await machine.run({ argv, signal, onLine: (stream, line) => log(stream, line) });
    requireSuccess(`${argv[0]} of ${fileSystem.device}`, result);
    const found = await machine.probe(fileSystem.device, { signal });
    if (found !== fileSystem.format) {
      const sentence = `${argv[0]} ended well, and ${fileSystem.device} holds ${found ?? 'nothing known'}: the disk is faulty`;
      throw new TinsmithError('write_failed', sentence);
    }
    progress({ done: index + 1, total: fileSystems.length, unit: 'file systems' });
  }
}

/** Old contents are no question to ask: the disk is given to us. */
function mkfsCommand({ format, createOptions }: FileSystemLayout, node: string): string[] {
  if (format === 'swap') return ['mkswap', ...createOptions, node];
  const force = { ext2: ['-F'], ext3: ['-F'], ext4: ['-F'], xfs: ['-f'], btrfs: ['-f'], vfat: [] }[format];
  return [`mkfs.${format}`, ...force, ...createOptions, node];
}

/** The mounts stay for the next actions on the same partitions. */
async function mountAll({ fileSystems }: StorageLayout, { machine, log, signal }: ActionContext): Promise<void> {
  for (const { device, format, point } of fileSystems) {
    if (point === undefined) continue;
    await machine.mount(device, format, { signal });
    log('agent', `mounted ${device} (${format}), which belongs on ${point}`);
  }
}
