import type { WipeParams } from '#proto/actions/wipe.ts';
import { diskText, isInternal } from '#proto/disk-hints.ts';
import { TinsmithError } from '#proto/errors.ts';
import { wipeDisk } from '../write/wipe/wipe-disk.ts';
import type { WipeTarget } from '../write/wipe/wipe-method.ts';
import type { ActionContext } from './action-context.ts';
import { nameHintedDisk } from './hinted-disks.ts';

type Found = Pick<WipeTarget, 'device' | 'abilities' | 'sizeBytes'>;

/** Erases disks, all at once. Nothing is touched before every one of them is known to be there and free. */
export async function wipe(params: WipeParams, context: ActionContext): Promise<void> {
  const disks = await findDisks(await wantedDevices(params.disks, context), context);
  const meter = new SharedMeter(disks, context);
  const results = await Promise.allSettled(
    disks.map(async (disk) => {
      const startedAt = performance.now();
      const target: WipeTarget = {
        ...disk,
        machine: context.machine,
        signal: context.signal,
        log: (text) => context.log('agent', text),
        progress: (share) => meter.note(disk, share),
      };
      const method = await wipeDisk(target, params);
      meter.note(disk, 1);
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
      context.log('agent', `wiped ${disk.device} (${disk.sizeBytes} bytes) by ${method} in ${seconds} s`);
    }),
  );
  context.signal.throwIfAborted();
  const failures = results.flatMap((result) => (result.status === 'rejected' ? TinsmithError.from(result.reason) : []));
  const [first] = failures;
  if (first === undefined) return;
  const sentence = failures.map(({ message }) => message).join('; ');
  throw failures.length === 1 ? first : new TinsmithError(first.code, sentence, { cause: first });
}

async function wantedDevices(disks: WipeParams['disks'], context: ActionContext): Promise<readonly string[]> {
  const { machine, facts, log } = context;
  if (disks === 'internal') {
    const found = (await machine.disks()).filter(isInternal);
    if (found.length === 0)
      throw new TinsmithError('device_unfit', 'this machine shows no built-in disks: nothing to wipe');
    log('agent', `every built-in disk: ${found.map(diskText).join('; ')}`);
    return found.map(({ device }) => device);
  }
  if (disks !== 'record') return disks;
  if (facts.disks !== undefined && facts.disks.length > 0) {
    for (const { device } of facts.disks) await nameHintedDisk(device, context);
    return facts.disks.map(({ device }) => device);
  }
  const fix = 'set DEST_DISK, or ALL_DISKS=true for every built-in disk';
  throw new TinsmithError('invalid_params', `the record of ${facts.hardware} lists no disks: ${fix}`);
}

/** Each disk once, by whatever name. Throws `device_unfit` for one that is missing, in use or a partition. */
async function findDisks(devices: readonly string[], { machine, signal }: ActionContext): Promise<readonly Found[]> {
  const found = new Map<string, Found>();
  for (const device of devices) {
    const abilities = await machine.eraseAbilities(device, { signal });
    if (abilities.isPartition) {
      throw new TinsmithError('device_unfit', `cannot wipe ${device}: it is a partition, name the whole disk`);
    }
    await using disk = await machine.openDisk(device, { signal });
    found.set(abilities.node, { device, abilities, sizeBytes: disk.sizeBytes });
  }
  return [...found.values()];
}

/** One progress for all disks, in bytes. */
class SharedMeter {
  readonly #shares = new Map<Found, number>();
  readonly #total: number;
  readonly #progress: ActionContext['progress'];

  constructor(disks: readonly Found[], { progress }: ActionContext) {
    this.#total = disks.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#progress = progress;
  }

  note(disk: Found, share: number): void {
    this.#shares.set(disk, share);
    const done = [...this.#shares].reduce((sum, [{ sizeBytes }, part]) => sum + sizeBytes * part, 0);
    this.#progress({ done: Math.round(done), total: this.#total });
  }
}
