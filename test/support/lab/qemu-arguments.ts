/** A virtual machine as its test describes it. */
export interface VmOptions {
  /** Names its log, for example `bios`. Default: its MAC. */
  readonly name?: string;
  readonly firmware: 'bios' | 'uefi';
  /** Lower case, colons. */
  readonly mac: string;
  /** Raw disk image that already exists; without it the machine has no disk. */
  readonly disk?: string;
  /** In its place: the Unix socket of an NBD server (nbd-disk.ts), whose cache knows flushes. */
  readonly diskSocket?: string;
  /** How the disk is attached: /dev/vda, /dev/nvme0n1, and /dev/sda for the other two. Default virtio. */
  readonly diskKind?: DiskKind;
  /** Default 512. Not for sata-ide. */
  readonly diskBlockBytes?: 512 | 4096;
  /** Beside it, in this order, on controllers of their own. */
  readonly moreDisks?: readonly VmDisk[];
  /** Default 512. */
  readonly memoryMiB?: number;
  /** Default 1: with software emulation a second one costs more than it gives. */
  readonly processors?: number;
  /** What its clock says at power-on, as `2001-01-01T00:00:00`. Default: the right time. */
  readonly clock?: string;
  /** What the firmware tries first; an empty disk falls through to the network. Default disk. */
  readonly bootOrder?: 'disk' | 'network';
  /** Default true; with false the machine waits for powerOn(). */
  readonly isPoweredOn?: boolean;
  /** `ipxe` gives a UEFI machine a network card with iPXE in its ROM; default is the firmware's own PXE. BIOS is always iPXE. */
  readonly uefiRom?: 'firmware' | 'ipxe';
}

export interface VmDisk {
  readonly file: string;
  readonly kind: DiskKind;
  readonly serial: string;
  /** Default 512. */
  readonly blockBytes?: 512 | 4096;
}

export type DiskKind = 'virtio' | 'nvme' | 'sata-ide' | 'scsi';

/** Where this machine's things are. */
export interface VmPlace {
  readonly tap: string;
  readonly qmpSocket: string;
  /** A copy of its own of OVMF_VARS.fd; used by UEFI machines only. */
  readonly firmwareVariables: string;
  /** tcg is software emulation: it works everywhere, and nested KVM often hangs. */
  readonly accelerator: 'tcg' | 'kvm';
}

export const OVMF_CODE = '/usr/share/OVMF/OVMF_CODE.fd';
export const OVMF_VARIABLES = '/usr/share/OVMF/OVMF_VARS.fd';

const DISK_DEVICES: Readonly<Record<DiskKind, readonly string[]>> = {
  virtio: ['virtio-blk-pci,drive=d0,serial=tinsmith-disk'],
  nvme: ['nvme,drive=d0,serial=tinsmith-disk'],
  'sata-ide': ['ide-hd,drive=d0,serial=tinsmith-disk'],
  scsi: ['virtio-scsi-pci,id=scsi0', 'scsi-hd,bus=scsi0.0,drive=d0,serial=tinsmith-disk'],
};

const ENGINES = {
  tcg: ['-accel', 'tcg,thread=multi', '-cpu', 'max'],
  kvm: ['-accel', 'kvm', '-cpu', 'host'],
} as const;

/**
 * QEMU's command line. `graphics=off` puts SeaBIOS, iPXE and the boot loaders on the serial console. The IPv6 settings keep OVMF from
 * minutes of IPv6 attempts.
 */
export function qemuArguments(options: VmOptions, place: VmPlace): readonly [string, ...string[]] {
  const isDiskFirst = (options.bootOrder ?? 'disk') === 'disk';
  const rom = options.firmware === 'uefi' && (options.uefiRom ?? 'firmware') === 'firmware' ? ',romfile=' : '';
  const console = ['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'];
  const control = ['-qmp', `unix:${escapeCommas(place.qmpSocket)},server=on,wait=off`];
  const size = ['-smp', String(options.processors ?? 1), '-m', String(options.memoryMiB ?? 512)];
  const processor = [...ENGINES[place.accelerator], ...size];
  const card = `virtio-net-pci,netdev=n0,mac=${options.mac},bootindex=${isDiskFirst ? 2 : 1}${rom}`;
  return [
    'qemu-system-x86_64',
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
    ...console,
    ...control,
    ...processor,
    ...(options.clock === undefined ? [] : ['-rtc', `base=${options.clock},clock=vm`]),
    '-machine',
    options.firmware === 'bios' ? 'pc,graphics=off' : 'pc',
    ...(options.firmware === 'uefi' ? firmwareArguments(place) : []),
    '-netdev',
    `tap,id=n0,ifname=${place.tap},script=no,downscript=no`,
    '-device',
    card,
    '-device',
    'virtio-rng-pci',
    ...disksArguments(options, isDiskFirst ? 1 : 2),
  ];
}

function disksArguments(
  { disk, diskSocket, moreDisks = [], ...options }: VmOptions,
  bootIndex: number,
): readonly string[] {
  const drive = disk === undefined ? undefined : fileDrive(disk);
  const first = diskArguments(diskSocket === undefined ? drive : socketDrive(diskSocket), options, bootIndex);
  return [...first, ...moreDisks.flatMap(moreDiskArguments)];
}

function moreDiskArguments({ file, kind, serial, blockBytes = 512 }: VmDisk, index: number): readonly string[] {
  const id = `m${index}`;
  const blocks = `logical_block_size=${blockBytes},physical_block_size=${blockBytes}`;
  const about = `drive=${id},serial=${serial}`;
  const devices: Readonly<Record<DiskKind, readonly string[]>> = {
    virtio: [`virtio-blk-pci,${about},${blocks}`],
    nvme: [`nvme,${about},${blocks}`],
    // IDE knows no other block size.
    'sata-ide': [`ide-hd,${about}`],
    scsi: [`virtio-scsi-pci,id=scsi-${id}`, `scsi-hd,bus=scsi-${id}.0,${about},${blocks}`],
  };
  return [
    '-drive',
    `if=none,id=${id},file=${escapeCommas(file)},format=raw,cache=unsafe,discard=unmap`,
    ...devices[kind].flatMap((device) => ['-device', device]),
  ];
}

function firmwareArguments({ firmwareVariables }: VmPlace): readonly string[] {
  return [
    ['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${OVMF_CODE}`],
    ['-drive', `if=pflash,format=raw,unit=1,file=${escapeCommas(firmwareVariables)}`],
    ['-fw_cfg', 'name=opt/org.tianocore/IPv6PXESupport,string=n'],
    ['-fw_cfg', 'name=opt/org.tianocore/IPv6Support,string=n'],
  ].flat();
}

/** `cache=unsafe`: the machine's flushes need not reach the host's disk, a test throws the file away anyway. */
function fileDrive(file: string): string {
  return `file=${escapeCommas(file)},format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap`;
}

/** Errors reach the machine, instead of stopping it. */
function socketDrive(socket: string): string {
  return `file.driver=nbd,file.server.type=unix,file.server.path=${escapeCommas(socket)},format=raw,cache=none,werror=report,rerror=report`;
}

function diskArguments(
  drive: string | undefined,
  { diskKind = 'virtio', diskBlockBytes: blockBytes }: Pick<VmOptions, 'diskKind' | 'diskBlockBytes'>,
  bootIndex: number,
): readonly string[] {
  if (drive === undefined) return [];
  const blocks = blockBytes === undefined ? '' : `,logical_block_size=${blockBytes},physical_block_size=${blockBytes}`;
  const devices = DISK_DEVICES[diskKind].map((device) =>
    device.includes('drive=') ? `${device},bootindex=${bootIndex}${blocks}` : device,
  );
  return ['-drive', `if=none,id=d0,${drive}`, ...devices.flatMap((device) => ['-device', device])];
}

function escapeCommas(path: string): string {
  return path.replaceAll(',', ',,');
}
