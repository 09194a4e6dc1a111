import type { InventoryDisk } from '#proto/inventory.ts';
import { ataIdentity, byIdNames } from './disk-names.ts';
import { knownTexts } from './inventory-text.ts';
import type { SysTree } from './sys-tree.ts';

/** Kernel names of block devices that are no disks to install on. */
const NOT_DISKS = /^(loop|ram|zram|sr|fd|dm-|md|nbd|mtdblock|rbd|drbd)/;
/** `size` in /sys counts these, whatever the disk's own blocks are. */
const SECTOR_BYTES = 512;

/** Whole disks with a device behind them, in the kernel's order. Empty card readers and hidden NVMe paths are left out. */
export async function diskInventory(tree: SysTree): Promise<readonly InventoryDisk[]> {
  const names = (await tree.names('sys/block')).filter((name) => !NOT_DISKS.test(name));
  const disks = await Promise.all(names.map((name) => readDisk(tree, name)));
  return disks.filter((disk) => disk !== undefined);
}

async function readDisk(tree: SysTree, name: string): Promise<InventoryDisk | undefined> {
  const base = `sys/block/${name}`;
  const [sectors, hidden, devicePath] = await Promise.all([
    tree.number(`${base}/size`),
    tree.number(`${base}/hidden`),
    tree.realPath(`${base}/device`),
  ]);
  if (sectors === undefined || sectors === 0 || hidden === 1 || devicePath === undefined) return undefined;
  const [blockBytes, rotational, removable] = await Promise.all([
    tree.number(`${base}/queue/logical_block_size`),
    tree.number(`${base}/queue/rotational`),
    tree.number(`${base}/removable`),
  ]);
  return {
    // The kernel writes '/' of a device name as '!' here.
    device: `/dev/${name.replaceAll('!', '/')}`,
    sizeBytes: sectors * SECTOR_BYTES,
    logicalBlockBytes: blockBytes ?? SECTOR_BYTES,
    rotational: rotational === 1,
    ...(removable === 1 ? { removable: true } : {}),
    ...(await readIdentity(tree, name, devicePath)),
  };
}

/** What a disk says of itself, and the names that are made of it. */
async function readIdentity(tree: SysTree, name: string, devicePath: string) {
  const base = `sys/block/${name}`;
  const [model, vendor, serial, wwid, ataPage] = await Promise.all([
    tree.text(`${base}/device/model`),
    tree.text(`${base}/device/vendor`),
    readSerial(tree, base),
    firstOf(tree, [`${base}/wwid`, `${base}/device/wwid`]),
    tree.bytes(`${base}/device/vpd_pg89`),
  ]);
  const ata = ataIdentity(ataPage);
  const known = knownTexts({
    model: ata?.model ?? fullModel(vendor, model),
    vendor: vendor?.startsWith('0x') === true ? undefined : vendor,
    serial: ata?.serial ?? serial,
    wwn: wwnOf(wwid),
    hctl: /\/(\d+(?::\d+){3})$/.exec(devicePath)?.[1],
    transport: transportOf(name, devicePath, vendor),
  });
  // Behind a virtio controller may be a SCSI disk, which has a SCSI disk's names.
  const transport = name.startsWith('sd') && known.transport === 'virtio' ? 'scsi' : known.transport;
  const byId = byIdNames({ transport, model, vendor, serial: known.serial, wwid, ataModel: ata?.model });
  return { ...(byId.length === 0 ? {} : { byId }), ...known };
}

/** NVMe and MMC have it beside the model, virtio on the disk; SCSI and SATA in vital product data page 0x80 (SPC-4, 7.8). */
async function readSerial(tree: SysTree, base: string): Promise<string | undefined> {
  const text = await firstOf(tree, [`${base}/device/serial`, `${base}/serial`]);
  if (text !== undefined) return text;
  return unitSerial(await tree.bytes(`${base}/device/vpd_pg80`));
}

/** Byte 1: the page's number; bytes 2 and 3: length of what follows the four. */
export function unitSerial(page: Buffer | undefined): string | undefined {
  if (page === undefined || page.length < 4 || page[1] !== 0x80) return undefined;
  return page.subarray(4, 4 + page.readUInt16BE(2)).toString('latin1');
}

/** As /dev/disk/by-id writes it: `0x5000…` for NAA names; EUI and NVMe names keep their prefix; other kinds are no WWN. */
export function wwnOf(wwid: string | undefined): string | undefined {
  if (wwid?.startsWith('naa.') === true) return `0x${wwid.slice(4)}`;
  return wwid !== undefined && /^(eui|uuid)\./.test(wwid) ? wwid : undefined;
}

/** SATA disks show `ATA` as their vendor, virtio disks a PCI number: neither belongs to the model. */
function fullModel(vendor: string | undefined, model: string | undefined): string | undefined {
  if (model === undefined || vendor === undefined || vendor === 'ATA' || vendor.startsWith('0x')) return model;
  return `${vendor} ${model}`;
}

export function transportOf(name: string, devicePath: string, vendor: string | undefined): string {
  if (name.startsWith('nvme')) return 'nvme';
  if (name.startsWith('mmcblk')) return 'mmc';
  if (/\/usb\d+\//.test(devicePath)) return 'usb';
  if (/\/ata\d+\//.test(devicePath) || vendor === 'ATA') return 'sata';
  if (/\/virtio\d+/.test(devicePath)) return 'virtio';
  if (/\/end_device-/.test(devicePath)) return 'sas';
  if (/\/session\d+\//.test(devicePath)) return 'iscsi';
  return 'scsi';
}

async function firstOf(tree: SysTree, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    const text = await tree.text(path);
    if (text !== undefined) return text;
  }
  return undefined;
}
