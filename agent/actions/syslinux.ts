import type { SyslinuxParams } from '#proto/actions/syslinux.ts';
import { TinsmithError } from '#proto/errors.ts';
import { partitionDevice } from '../machine/block-device.ts';
import { clearBootMark, requireBootPlace, writeBootCode } from '../write/boot-code.ts';
import type { ActionContext } from './action-context.ts';
import { requireSuccess } from './program-failure.ts';

const FOLDER = '/usr/lib/syslinux/mbr';
const VERSION = '6.04';

/** Installs SYSLINUX in the root of a partition's file system, and the boot code that starts it on the disk. */
export async function syslinux(params: SyslinuxParams, context: ActionContext): Promise<void> {
  const { machine, signal, log } = context;
  if ((await machine.firmware()) === 'uefi') {
    throw new TinsmithError('unsupported', 'cannot install SYSLINUX: it starts machines by BIOS and this one has UEFI');
  }
  if (params.version !== undefined && params.version !== VERSION) log('agent', `using SYSLINUX ${VERSION}`);
  const number = await frameNumber(params, context);
  {
    await using disk = await machine.openDisk(params.disk, { signal });
    await requireBootPlace(disk, number);
  }
  const root = await machine.mount(params.partition, undefined, { signal });
  const argv = ['extlinux', '--install', root.mountPoint];
  const result = await machine.run({ argv, signal, onLine: (stream, line) => log(stream, line) });
  requireSuccess(`extlinux on ${params.partition}`, result);
  context.onTaskFailure(async (undoSignal) => {
    await using disk = await machine.openDisk(params.disk, { signal: undoSignal });
    await clearBootMark(disk);
    log('agent', `the task did not succeed: the boot code of ${params.disk} was taken away again`);
  });
  // Ends the mount, too.
  await using disk = await machine.openDisk(params.disk, { signal });
  await writeBootCode(disk, number, (table) => machine.bootFile(`${FOLDER}/${table === 'gpt' ? 'gptmbr' : 'mbr'}.bin`));
  log('agent', `installed SYSLINUX ${VERSION} on ${params.partition} and its boot code on ${params.disk}`);
}

/** Throws `device_unfit` when the partition is another disk's. */
async function frameNumber({ disk, partition }: SyslinuxParams, { machine, signal }: ActionContext): Promise<number> {
  const [diskNode, node] = [await machine.nodeOf(disk, { signal }), await machine.nodeOf(partition, { signal })];
  const number = Number(/\d+$/.exec(node)?.[0]);
  if (node === partitionDevice(diskNode, number)) return number;
  throw new TinsmithError('device_unfit', `cannot make ${disk} start ${partition}: that is no partition of it`);
}
