import { DISK_TRANSPORTS } from '#proto/disk-hints.ts';
import type { HardwareDisk } from './hardware-kind.ts';
import { withSchema } from './json-schema.ts';
import {
  boolean,
  entry,
  integer,
  object,
  optional,
  type Reader,
  refined,
  refuse,
  text,
  word,
  type YamlValue,
} from './yaml-reader.ts';

/** Says what is wrong with the path of a disk, and the fix. */
export function faultOfDisk(device: string): string | undefined {
  const isPath = /^\/dev\/[\w.:+@-]+(\/[\w.:+@-]+)*$/.test(device);
  if (isPath && !/\/(\.\.?|dev)(\/|$)/.test(device.slice('/dev'.length))) return undefined;
  return 'is not the path of a disk: write it like /dev/sda, /dev/nvme0n1 or /dev/disk/by-id/NAME';
}

function withoutHints(value: YamlValue, device: string, hints: readonly string[]): HardwareDisk | undefined {
  const [first] = hints;
  if (first !== undefined) {
    return refuse(entry(value, first) ?? value, `${value.path} has both device and ${first}: leave out one of them`);
  }
  if (!device.startsWith('/dev/disk/by-hint/')) return { device };
  return refuse(
    entry(value, 'device') ?? value,
    `${value.path}.device ${device} is the path of a disk by hints: write the hints themselves, such as serial`,
    device,
  );
}

const UNITS: Readonly<Record<string, number>> = {
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

function bytesOf(written: string): number | undefined {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?) ?([KMGT]i?B)$/i.exec(written.trim()) ?? [];
  const bytes = Math.round(Number(number) * (UNITS[unit.toLowerCase()] ?? Number.NaN));
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined;
}

const readByteCount = integer(1, Number.MAX_SAFE_INTEGER);
const readSizeText = refined(
  text((written) =>
    bytesOf(written) === undefined ? 'is not a size: write it like 480GB, 1.92TB or 500GiB' : undefined,
  ),
  bytesOf,
);

/** Bytes as a number, or a text with a unit: 480GB, 1.92TB, 500GiB. */
const readSize: Reader<number> = withSchema(
  (value: YamlValue) => {
    const isText = 'value' in value.node && typeof value.node.value === 'string';
    return isText ? readSizeText(value) : readByteCount(value);
  },
  { type: ['integer', 'string'] },
);

const filled = (): Reader<string> =>
  text((written) =>
    written.trim() === '' || written.length > 256 ? 'is no hint: write 1 to 256 characters' : undefined,
  );

const diskFields = object({
  device: optional(text(faultOfDisk)),
  byId: optional(
    text((name) =>
      /^(\/dev\/disk\/by-id\/)?[\w.:+@-]{1,255}$/.test(name) ? undefined : 'is no name of /dev/disk/by-id',
    ),
  ),
  model: optional(filled()),
  vendor: optional(filled()),
  serial: optional(filled()),
  wwn: optional(filled()),
  hctl: optional(
    text((address) => (/^\d+(:\d+){3}$/.test(address) ? undefined : 'is no SCSI address: write it like 0:0:1:0')),
  ),
  transport: optional(word(DISK_TRANSPORTS)),
  rotational: optional(boolean()),
  minSize: optional(readSize),
  maxSize: optional(readSize),
  allowSeveral: optional(boolean()),
});

/**
 * One entry of a Hardware's `spec.disks`: the path of a disk, or hints that say what the disk is. A disk by hints gets a path
 * of its own, which templates see and the agent resolves; an entry that was read before is read again to the same.
 */
export const readDisk: Reader<HardwareDisk> = refined(diskFields, ({ device, ...hints }, value) => {
  const { minSize, maxSize } = hints;
  const count = Object.keys(hints).filter((name) => name !== 'allowSeveral').length;
  const hintPath = `/dev/disk/by-hint/${/\[(\d+)\]$/.exec(value.path)?.[1] ?? '0'}`;
  if (device !== undefined && (device !== hintPath || count === 0))
    return withoutHints(value, device, Object.keys(hints));
  if (count === 0)
    return refuse(value, `${value.path} names no disk: add device, or a hint such as serial, wwn or byId`);
  if (minSize !== undefined && maxSize !== undefined && minSize > maxSize) {
    return refuse(entry(value, 'maxSize') ?? value, `${value.path}.maxSize is less than minSize: swap the two`);
  }
  return { device: hintPath, ...hints };
});
