import type { Grub2diskParams } from '#proto/actions/grub2disk.ts';
import { TinsmithError } from '#proto/errors.ts';
import { partitionDevice } from '../machine/block-device.ts';
import type { ExtraMount, TargetRoot } from '../machine/machine.ts';
import { type BootPlaces, clearBootCode, readBootPlaces } from '../write/boot-code.ts';
import type { ActionContext } from './action-context.ts';
import { requireSuccess } from './program-failure.ts';

const EFI_TARGET = process.arch === 'arm64' ? 'arm64-efi' : 'x86_64-efi';
const EFI_LOADER = process.arch === 'arm64' ? 'BOOTAA64.EFI' : 'BOOTX64.EFI';
const EFI_DIRECTORY = '/boot/efi';

const LONGEST_CONFIG = 4 << 20;

/** Where distributions have the programs. */
const INSTALLERS = ['/usr/sbin/grub-install', '/usr/sbin/grub2-install', '/sbin/grub-install', '/sbin/grub2-install'];
const CONFIGURATORS = [
  { program: '/usr/sbin/grub-mkconfig', file: '/boot/grub/grub.cfg' },
  { program: '/usr/sbin/grub2-mkconfig', file: '/boot/grub2/grub.cfg' },
];

/**
 * Runs the installed system's own GRUB in a chroot, for each way to start that the system has modules and the disk a place for.
 * The way that this machine starts must be among them. UEFI gets the loader that needs no entry in the firmware.
 */
export async function grub2disk(params: Grub2diskParams, context: ActionContext): Promise<void> {
  const { machine, signal, log } = context;
  const disk = await machine.nodeOf(params.disk, { signal });
  const places = await lookAt(params.disk, context);
  const root = await machine.mount(params.device, params.fileSystem, { signal });
  const installer = await firstOf(root, INSTALLERS);
  if (installer === undefined) {
    const fact = `the system on ${params.device} has no grub-install`;
    throw new TinsmithError('unsupported', `cannot install GRUB: ${fact}, install GRUB's package in it`);
  }
  const targets = await targetsOf(root, places);
  requireOwnFirmware(targets, await machine.firmware(), { places, params });
  const efi = places.efi === undefined ? [] : [{ device: partitionDevice(disk, places.efi), path: EFI_DIRECTORY }];
  const inside = new Inside(root, efi, context);
  undoLater(params, efi, context);
  for (const target of targets)
    await inside.run([installer, `--target=${target}`, '--recheck', ...place(target, disk)]);
  await configure(inside, params.device);
  await machine.releaseMounts();
  log('agent', `installed GRUB (${targets.join(', ')}) of ${params.device} on ${params.disk}`);
}

async function lookAt(device: string, { machine, signal }: ActionContext): Promise<BootPlaces> {
  await using disk = await machine.openDisk(device, { signal });
  return await readBootPlaces(disk);
}

async function targetsOf(root: TargetRoot, places: BootPlaces): Promise<string[]> {
  const has = async (target: string): Promise<boolean> =>
    (await firstOf(root, [`/usr/lib/grub/${target}`])) !== undefined;
  const targets: string[] = [];
  if (places.hasRoomForBios && (await has('i386-pc'))) targets.push('i386-pc');
  if (places.efi !== undefined && (await has(EFI_TARGET))) targets.push(EFI_TARGET);
  return targets;
}

function requireOwnFirmware(
  targets: readonly string[],
  firmware: 'bios' | 'uefi',
  { places, params }: { readonly places: BootPlaces; readonly params: Grub2diskParams },
): void {
  const wanted = firmware === 'bios' ? 'i386-pc' : EFI_TARGET;
  if (targets.includes(wanted)) return;
  const hasPlace = firmware === 'bios' ? places.hasRoomForBios : places.efi !== undefined;
  const partition = firmware === 'bios' ? 'BIOS boot partition' : 'EFI system partition';
  const fact = hasPlace
    ? `the system on ${params.device} has no /usr/lib/grub/${wanted}, install that package of GRUB in it`
    : `${params.disk} has no ${partition}, make one with rootio (label ${firmware === 'bios' ? 'BIOS' : 'EFI'})`;
  throw new TinsmithError('unsupported', `cannot install GRUB for this machine, which starts by ${firmware}: ${fact}`);
}

function place(target: string, disk: string): string[] {
  if (target === 'i386-pc') return [disk];
  // Without an entry in the firmware: it starts any such disk, also in another machine, and nothing piles up there.
  return [`--efi-directory=${EFI_DIRECTORY}`, '--removable', '--no-nvram'];
}

async function configure(inside: Inside, device: string): Promise<void> {
  for (const { program, file } of CONFIGURATORS) {
    if ((await firstOf(inside.root, [program])) === undefined) continue;
    await inside.run([program, '-o', file]);
    await requireKernel(inside.root, file);
    return;
  }
  throw new TinsmithError('unsupported', `cannot configure GRUB: the system on ${device} has no grub-mkconfig`);
}

/** grub-mkconfig ends well where it finds no kernel, and the machine would end at GRUB's prompt. */
async function requireKernel(root: TargetRoot, file: string): Promise<void> {
  const config = (await root.readFile(file, LONGEST_CONFIG))?.toString('latin1') ?? '';
  if (/^\s*(?:linux(?:16|efi)?\s|blscfg\b)/m.test(config)) return;
  const fix = 'it has to lie in /boot of that partition, a partition of its own for /boot is not looked at';
  throw new TinsmithError('unsupported', `GRUB of the system on ${root.device} found no kernel to start: ${fix}`);
}

async function firstOf(root: TargetRoot, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const isThere = await root.resolve(path).then(
      () => true,
      (thrown: unknown) => {
        if (thrown instanceof TinsmithError && thrown.code === 'not_found') return false;
        throw thrown;
      },
    );
    if (isThere) return path;
  }
  return undefined;
}

class Inside {
  readonly root: TargetRoot;
  readonly #mounts: readonly ExtraMount[];
  readonly #context: ActionContext;

  constructor(root: TargetRoot, mounts: readonly ExtraMount[], context: ActionContext) {
    this.root = root;
    this.#mounts = mounts;
    this.#context = context;
  }

  async run(argv: readonly string[]): Promise<void> {
    const { machine, signal, log } = this.#context;
    const call = { argv, signal, resolvConf: false, mounts: this.#mounts };
    const result = await machine.runInside(this.root, { ...call, onLine: (stream, line) => log(stream, line) });
    requireSuccess(`${argv.join(' ')} in the system on ${this.root.device}`, result);
  }
}

/** A system whose task failed must not come up on its own. */
function undoLater(params: Grub2diskParams, efi: readonly ExtraMount[], context: ActionContext): void {
  const { machine, log } = context;
  context.onTaskFailure(async (signal) => {
    {
      await using disk = await machine.openDisk(params.disk, { signal });
      await clearBootCode(disk);
    }
    if (efi.length > 0) {
      const root = await machine.mount(params.device, params.fileSystem, { signal });
      await new Inside(root, efi, { ...context, signal }).run(['rm', '-f', `${EFI_DIRECTORY}/EFI/BOOT/${EFI_LOADER}`]);
      await machine.releaseMounts();
    }
    log('agent', `the task did not succeed: the boot loader of ${params.disk} was taken away again`);
  });
}
