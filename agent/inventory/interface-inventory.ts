import type { InventoryInterface } from '#proto/inventory.ts';
import { inventoryText, knownTexts } from './inventory-text.ts';
import type { SysTree } from './sys-tree.ts';

/** IP addresses of an interface, as `os.networkInterfaces()` has them. */
export type AddressesOf = (name: string) => readonly string[];

/** Interfaces with a device behind them (no loopback, bonds, VLANs, bridges), in the kernel's order. */
export async function interfaceInventory(
  tree: SysTree,
  addressesOf: AddressesOf,
): Promise<readonly InventoryInterface[]> {
  const names = await tree.names('sys/class/net');
  const interfaces = await Promise.all(names.map((name) => readInterface(tree, name, addressesOf)));
  return interfaces.filter((found) => found !== undefined);
}

async function readInterface(
  tree: SysTree,
  name: string,
  addressesOf: AddressesOf,
): Promise<InventoryInterface | undefined> {
  const base = `sys/class/net/${name}`;
  if (!(await tree.has(`${base}/device`))) return undefined;
  const [own, address, driver, carrier, speed] = await Promise.all([
    // The address of the card itself while it is a member of a bond.
    tree.text(`${base}/bonding_slave/perm_hwaddr`),
    tree.text(`${base}/address`),
    tree.linkName(`${base}/device/driver`),
    tree.number(`${base}/carrier`),
    tree.number(`${base}/speed`),
  ]);
  const mac = inventoryText((own ?? address)?.toLowerCase());
  if (mac === undefined || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)) return undefined;
  const hasLink = carrier === 1;
  return {
    name,
    mac,
    hasLink,
    addresses: addressesOf(name),
    ...knownTexts({ driver }),
    // Drivers say -1 or 2^32 - 1 when they do not know.
    ...(hasLink && speed !== undefined && speed > 0 && speed < 4_000_000 ? { speedMbps: speed } : {}),
  };
}
