import type { LogicalVolumeLayout, VolumeGroupLayout } from '#proto/actions/storage-layout.ts';
import type { ActionContext } from './action-context.ts';
import { requireSuccess } from './program-failure.ts';

/**
 * The boot environment has no udev, no lvm.conf and no file system that outlives it: LVM makes its nodes itself, looks at all disks and
 * keeps no copies of what it writes.
 */
const CONFIG = 'devices{use_devicesfile=0} activation{udev_sync=0 udev_rules=0} backup{backup=0 archive=0}';
/** LVM complains of every file that the agent has open. */
const ENVIRONMENT = { LVM_SUPPRESS_FD_WARNINGS: '1' };

/** Lets go of groups that an earlier try made in this boot, so that their disks are free. Harmless when there are none. */
export async function releaseVolumeGroups(
  groups: readonly VolumeGroupLayout[],
  { machine, signal }: ActionContext,
): Promise<void> {
  if (groups.length === 0) return;
  await machine.releaseMounts();
  for (const { name } of groups) {
    await machine.run({ argv: lvm('vgchange', '--activate', 'n', name), environment: ENVIRONMENT, signal });
  }
}

/** Makes every group and its volumes anew: what was on the physical volumes is gone. Throws `command_failed`. */
export async function makeVolumeGroups(groups: readonly VolumeGroupLayout[], context: ActionContext): Promise<void> {
  const { machine, log, signal } = context;
  for (const group of groups) {
    const nodes: string[] = [];
    for (const device of group.physicalVolumes) {
      const node = await machine.nodeOf(device, { signal });
      // Twice: also when it belongs to another group, by an earlier life of this disk.
      await run(`pvcreate of ${device}`, lvm('pvcreate', '-ff', '--yes', node), context);
      nodes.push(node);
    }
    await run(
      `vgcreate of ${group.name}`,
      lvm('vgcreate', '--yes', ...tags(group.tags), group.name, ...nodes),
      context,
    );
    for (const volume of group.logicalVolumes) await makeVolume(group.name, volume, context);
    log('agent', `made volume group ${group.name} with ${group.logicalVolumes.length} volume(s)`);
  }
}

async function makeVolume(group: string, volume: LogicalVolumeLayout, context: ActionContext): Promise<void> {
  const size = volume.size === 0 ? ['--extents', '100%FREE'] : ['--size', `${volume.size}b`];
  const marks = ['--yes', '--wipesignatures', 'y', '--zero', 'y', '--name', volume.name, ...tags(volume.tags)];
  await run(
    `lvcreate of ${group}/${volume.name}`,
    lvm('lvcreate', ...marks, ...size, ...volume.options, group),
    context,
  );
  // Read back: its node is there and the device behind it answers.
  await context.machine.probe(`/dev/${group}/${volume.name}`, context);
}

function lvm(command: string, ...rest: readonly string[]): readonly string[] {
  return ['lvm', command, '--config', CONFIG, ...rest];
}

function tags(names: readonly string[]): readonly string[] {
  return names.flatMap((name) => ['--addtag', name]);
}

async function run(doing: string, argv: readonly string[], { machine, log, signal }: ActionContext): Promise<void> {
  const result = await machine.run({
    argv,
    environment: ENVIRONMENT,
    signal,
    onLine: (stream, line) => log(stream, line),
  });
  requireSuccess(doing, result);
}
