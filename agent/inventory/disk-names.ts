/** What the names of a disk below /dev/disk/by-id are made of; all as the kernel gives them. */
interface DiskIdentity {
  readonly transport?: string | undefined;
  readonly vendor?: string | undefined;
  /** SCSI keeps 16 characters of it. */
  readonly model?: string | undefined;
  /** Of a SATA disk: all 40 characters. */
  readonly ataModel?: string | undefined;
  readonly serial?: string | undefined;
  readonly wwid?: string | undefined;
}

/**
 * The names that udev gives a disk (60-persistent-storage.rules), which an operator knows from the installed system: the boot
 * environment has no udev. Without a serial number there is no stable name.
 */
export function byIdNames(disk: DiskIdentity): readonly string[] {
  const { transport = '', wwid } = disk;
  const naa = wwid?.startsWith('naa.') === true ? wwid.slice(4) : undefined;
  const names = (NAMES[transport] ?? scsiNames)(disk, naa);
  return [...new Set(names.filter((name) => name !== undefined))];
}

type Names = (disk: DiskIdentity, naa: string | undefined) => readonly (string | undefined)[];

const NAMES: Readonly<Record<string, Names>> = {
  nvme: ({ model, serial, wwid }) => [joined('nvme', [model, serial]), wwid === undefined ? undefined : `nvme-${wwid}`],
  virtio: ({ serial }) => [joined('virtio', [serial])],
  mmc: ({ model, serial }) => [joined('mmc', [model, serial])],
  sata: ({ ataModel, serial }, naa) => [joined('ata', [ataModel, serial]), wwnName(naa)],
  usb: (_disk, naa) => [wwnName(naa)],
};

function scsiNames(
  { vendor, model, serial, wwid }: DiskIdentity,
  naa: string | undefined,
): readonly (string | undefined)[] {
  if (naa !== undefined) return [`scsi-3${naa}`, wwnName(naa)];
  if (wwid?.startsWith('t10.') === true) return [joined('scsi', [`1${wwid.slice(4)}`])];
  return [joined('scsi', [vendor === undefined ? undefined : `0${vendor}`, model, serial])];
}

function wwnName(naa: string | undefined): string | undefined {
  return naa === undefined ? undefined : `wwn-0x${naa}`;
}

/** udev keeps letters, digits and #+-.:=@_ and writes white space, however much of it, as one `_`. */
function joined(prefix: string, parts: readonly (string | undefined)[]): string | undefined {
  const texts = parts.map((part) =>
    part
      ?.trim()
      .replaceAll(/\s+/g, '_')
      .replaceAll(/[^\w#+\-.:=@]/g, '_'),
  );
  if (texts.some((text) => text === undefined || text === '')) return undefined;
  return `${prefix}-${texts.join('_')}`;
}

/** IDENTIFY DEVICE words of a SATA disk, from the ATA information page 0x89 (SAT-4, 12.4.2): all that SCSI cuts off. */
export function ataIdentity(
  page: Buffer | undefined,
): { readonly model?: string; readonly serial?: string } | undefined {
  if (page === undefined || page.length < 60 + 94 || page[1] !== 0x89) return undefined;
  const words = (first: number, last: number): string => {
    // Two characters a word, the first in its upper half.
    const bytes = Buffer.from(page.subarray(60 + first * 2, 60 + last * 2 + 2)).swap16();
    return bytes.toString('latin1').replaceAll('\0', '').trim();
  };
  const [model, serial] = [words(27, 46), words(10, 19)];
  return { ...(model === '' ? {} : { model }), ...(serial === '' ? {} : { serial }) };
}
