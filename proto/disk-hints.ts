import type { InventoryDisk } from './inventory.ts';

/** Which disk of a machine is meant, by what it is instead of by its place. All hints that are given have to hold. */
export interface DiskHints {
  /** Name below /dev/disk/by-id, with or without that folder. */
  readonly byId?: string;
  /** A part of the model, whatever its case. */
  readonly model?: string;
  /** A part of the vendor's name, whatever its case. */
  readonly vendor?: string;
  readonly serial?: string;
  readonly wwn?: string;
  readonly hctl?: string;
  readonly transport?: DiskTransport;
  readonly rotational?: boolean;
  /** Bytes; both included. */
  readonly minSize?: number;
  readonly maxSize?: number;
  /** Take the first of several that match, by serial number. Without it several are refused. */
  readonly allowSeveral?: boolean;
}

type DiskTransport = (typeof DISK_TRANSPORTS)[number];
export const DISK_TRANSPORTS = ['nvme', 'sata', 'sas', 'scsi', 'virtio', 'usb', 'mmc', 'iscsi'] as const;

/** `isMissing`: another disk may still appear; several never become one. */
type DiskMatch = { readonly disk: InventoryDisk } | { readonly fault: string; readonly isMissing: boolean };

/**
 * The disk that the hints mean, or why none is: the server's plan and the agent ask the same function. A USB or removable disk counts
 * only if a hint names it: by transport, by-id name, serial number or WWN.
 */
export function matchDisk(hints: DiskHints, disks: readonly InventoryDisk[]): DiskMatch {
  const found = disks.filter((disk) => isMeant(hints, disk)).toSorted(byIdentity);
  const [first, second] = found;
  if (first === undefined) {
    const seen = disks.length === 0 ? 'it shows no disks at all' : `it has ${disks.map(diskText).join('; ')}`;
    return { isMissing: true, fault: `no disk of this machine is ${hintsText(hints)}: ${seen}` };
  }
  if (second === undefined || hints.allowSeveral === true) return { disk: first };
  const several = found.map(diskText).join('; ');
  return {
    isMissing: false,
    fault: `${found.length} disks are ${hintsText(hints)}: ${several}: add a hint such as serial, or allowSeveral: true`,
  };
}

function isMeant(hints: DiskHints, disk: InventoryDisk): boolean {
  const { minSize = 0, maxSize = Number.POSITIVE_INFINITY, rotational = disk.rotational } = hints;
  const byId = hints.byId?.replace(/^\/dev\/disk\/by-id\//, '');
  return [
    isNamedOrInternal(hints, disk),
    byId === undefined || disk.byId?.includes(byId) === true,
    isPartOf(hints.model, disk.model),
    isPartOf(hints.vendor, disk.vendor),
    isSame(hints.serial, disk.serial),
    isSame(hints.wwn, disk.wwn),
    isSame(hints.hctl, disk.hctl),
    isSame(hints.transport, disk.transport),
    rotational === disk.rotational,
    disk.sizeBytes >= minSize && disk.sizeBytes <= maxSize,
  ].every(Boolean);
}

/** Built in, for all that its transport says. */
export function isInternal({ transport, removable }: InventoryDisk): boolean {
  return transport !== 'usb' && removable !== true;
}

function isNamedOrInternal(hints: DiskHints, disk: InventoryDisk): boolean {
  if (isInternal(disk)) return true;
  const identities = [hints.byId, hints.serial, hints.wwn];
  return identities.some((hint) => hint !== undefined) || (hints.transport === 'usb' && disk.transport === 'usb');
}

function isPartOf(hint: string | undefined, text: string | undefined): boolean {
  return hint === undefined || (text !== undefined && plain(text).includes(plain(hint)));
}

function isSame(hint: string | undefined, text: string | undefined): boolean {
  return hint === undefined || (text !== undefined && plain(text) === plain(hint));
}

function plain(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ').toLowerCase();
}

/** The same order at every boot: the kernel's names depend on which driver was faster. */
function byIdentity(left: InventoryDisk, right: InventoryDisk): number {
  const [a, b] = [left, right].map(({ serial = '', wwn = '', device }) => [serial, wwn, device].join('\n'));
  return a === b ? 0 : (a ?? '') < (b ?? '') ? -1 : 1;
}

/** For sentences: what was asked for. */
function hintsText(hints: DiskHints): string {
  const { allowSeveral: _allowSeveral, minSize, maxSize, ...plainHints } = hints;
  return [
    ...Object.entries(plainHints).map(([name, value]) => `${name} ${String(value)}`),
    ...(minSize === undefined ? [] : [`at least ${sizeText(minSize)}`]),
    ...(maxSize === undefined ? [] : [`at most ${sizeText(maxSize)}`]),
  ].join(', ');
}

/** For sentences: what is there. */
export function diskText({ device, sizeBytes, transport, model, serial }: InventoryDisk): string {
  const facts = [sizeText(sizeBytes), transport, model, serial === undefined ? undefined : `serial ${serial}`];
  return `${device} (${facts.filter((fact) => fact !== undefined).join(', ')})`;
}

/** Decimal, as disks are sold. */
function sizeText(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;
  const step = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${Number((bytes / 1000 ** step).toFixed(1))} ${units[step]}`;
}
