import type { Inventory } from '#proto/inventory.ts';
import { MAX_INVENTORY_ITEMS } from '#proto/inventory-document.ts';
import { diskInventory } from './disk-inventory.ts';
import { type AddressesOf, interfaceInventory } from './interface-inventory.ts';
import { SysTree } from './sys-tree.ts';
import { cpuInventory, firmwareInventory, memoryBytes, systemInventory } from './system-inventory.ts';

export interface InventorySources {
  /** Folder that holds `sys` and `proc`; `/` on a machine. */
  readonly root: string;
  /** As Node names it. */
  readonly arch: string;
  readonly addressesOf: AddressesOf;
  readonly now: Date;
}

/**
 * What this machine is made of, from /sys and /proc alone: no program is started and nothing but small files is read, so it
 * takes milliseconds in an initramfs that has no dmidecode, lsblk or ethtool. What a machine does not tell is left out.
 */
export async function collectInventory(sources: InventorySources): Promise<Inventory> {
  const tree = new SysTree(sources.root);
  const [system, firmware, cpu, memory, disks, interfaces] = await Promise.all([
    systemInventory(tree),
    firmwareInventory(tree),
    cpuInventory(tree, sources.arch),
    memoryBytes(tree),
    diskInventory(tree),
    interfaceInventory(tree, sources.addressesOf),
  ]);
  return {
    collectedAt: sources.now.toISOString(),
    system,
    firmware,
    cpu,
    memoryBytes: memory,
    disks: disks.slice(0, MAX_INVENTORY_ITEMS),
    interfaces: interfaces.slice(0, MAX_INVENTORY_ITEMS),
  };
}
