import { WIPE_METHODS, type WipeMethodName, type WipeParams } from '#proto/actions/wipe.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { Disk } from '../../machine/machine.ts';
import { DiskEnds, END_BYTES } from '../disk-ends.ts';
import { ataSecureErase } from './ata-erase.ts';
import { discard, signatureRanges, signatures, tableOf, zero } from './block-erase.ts';
import { nvmeFormat, nvmeSanitize } from './nvme-erase.ts';
import type { WipeMethod, WipePlan, WipeTarget } from './wipe-method.ts';
import { compareSamples, findNonZero, type Sample, takeSamples } from './wipe-proof.ts';

const METHODS: Readonly<Record<WipeMethodName, WipeMethod>> = {
  'nvme-sanitize': nvmeSanitize,
  'nvme-format': nvmeFormat,
  'ata-secure-erase': ataSecureErase,
  discard,
  zero,
  signatures,
};

interface Preparation extends WipePlan {
  readonly samples: readonly Sample[];
}

/**
 * Erases one disk and proves it by reading. From its start the disk does not boot. Returns the method that did it. Throws
 * TinsmithError unless what was read back proves that everything is gone (METHOD=signatures: that nothing is recognised any more).
 */
export async function wipeDisk(target: WipeTarget, params: Omit<WipeParams, 'disks'>): Promise<WipeMethodName> {
  const isAuto = params.method === 'auto';
  const names = isAuto ? WIPE_METHODS.filter((name) => name !== 'signatures') : [params.method];
  const prepared = await prepare(target, names);
  for (const name of names) {
    const failure = await tryMethod(METHODS[name], target, prepared, params.verify);
    if (failure === undefined) {
      await finish(target);
      return name;
    }
    target.signal.throwIfAborted();
    if (name === names.at(-1)) throw failure;
    const what = failure.code === 'command_failed' ? `${target.device}: ${name}: ` : '';
    target.log(`${what}${failure.message}; on to the next method`);
  }
  throw new TinsmithError('internal', 'there is no method to wipe a disk with');
}

/** Looks at everything that is needed later, then takes away what boots. */
async function prepare(target: WipeTarget, names: readonly WipeMethodName[]): Promise<Preparation> {
  await using disk = await target.machine.openDisk(target.device, target);
  const table = await tableOf(disk);
  await new DiskEnds(disk).wipe();
  const samples = names.every((name) => METHODS[name].leaves === 'data') ? [] : await takeSamples(disk);
  return { table, samples };
}

/** Undefined when the method erased the disk and reading proved it. Rejects only when the action was aborted. */
async function tryMethod(
  method: WipeMethod,
  target: WipeTarget,
  prepared: Preparation,
  verify: WipeParams['verify'],
): Promise<TinsmithError | undefined> {
  try {
    const fault = await method.fault(target);
    if (fault !== undefined) {
      return new TinsmithError('unsupported', `cannot wipe ${target.device} by ${method.name}: ${fault}`);
    }
    target.log(`${target.device}: erasing by ${method.name}`);
    const share = verify === 'all' ? 0.5 : 1;
    await method.erase({ ...target, progress: (done) => target.progress(done * share) }, prepared);
    await using disk = await target.machine.openDisk(target.device, target);
    await prove({ method, target, prepared, verify, disk });
    return undefined;
  } catch (thrown) {
    target.signal.throwIfAborted();
    return TinsmithError.from(thrown);
  }
}

interface Proof {
  readonly method: WipeMethod;
  readonly target: WipeTarget;
  readonly prepared: Preparation;
  readonly verify: WipeParams['verify'];
  readonly disk: Disk;
}

async function prove({ method, target, prepared, verify, disk }: Proof): Promise<void> {
  const { signal, device, log } = target;
  if (method.leaves === 'data') {
    for (const range of signatureRanges(disk, prepared.table)) {
      const left = await findNonZero(disk, range, { signal, progress: () => undefined });
      if (left !== undefined) throw unproven(method, device, `byte ${left} does not read as zero`);
    }
    return;
  }
  const found = await compareSamples(disk, prepared.samples);
  if (typeof found === 'object') throw unproven(method, device, `byte ${found.left} still holds what it held before`);
  if (found === 'changed' && method.leaves === 'zeros') throw unproven(method, device, 'it does not read as zeros');
  if (verify === 'all') {
    const progress = (bytes: number): void => target.progress(0.5 + bytes / disk.sizeBytes / 2);
    const left = await findNonZero(disk, { from: 0, to: disk.sizeBytes }, { signal, progress });
    if (left !== undefined)
      throw unproven(method, device, `byte ${left} does not read as zero, which VERIFY=all asks for`);
  }
  const what = found === 'zeros' ? 'zeros' : 'nothing of what was there';
  log(
    `${device}: ${verify === 'all' ? 'every byte was' : `${prepared.samples.length} samples were`} read back: ${what}`,
  );
}

function unproven(method: WipeMethod, device: string, fact: string): TinsmithError {
  return new TinsmithError('write_failed', `${device} was not wiped by ${method.name}: ${fact}`);
}

/** Whatever the method left: both ends are zeros, nothing is recognised, and the kernel knows of no partition. */
async function finish({ machine, device, signal }: WipeTarget): Promise<void> {
  {
    await using disk = await machine.openDisk(device, { signal });
    await new DiskEnds(disk).wipe();
    for (const from of [0, disk.sizeBytes - END_BYTES]) {
      const left = await findNonZero(disk, { from, to: from + END_BYTES }, { signal, progress: () => undefined });
      if (left === undefined) continue;
      throw new TinsmithError(
        'write_failed',
        `${device} was not wiped: byte ${left} reads back as something else than zero`,
      );
    }
  }
  await machine.rereadPartitionTable(device, [], { signal });
  const found = await machine.probe(device, { signal });
  if (found !== undefined)
    throw new TinsmithError('write_failed', `${device} was not wiped: it still looks like ${found}`);
}
