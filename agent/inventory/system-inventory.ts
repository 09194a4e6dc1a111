import type { Inventory } from '#proto/inventory.ts';
import { inventoryText, knownTexts } from './inventory-text.ts';
import type { SysTree } from './sys-tree.ts';

const DMI = 'sys/class/dmi/id';
const DEVICE_TREE = 'proc/device-tree';

/** Who made the machine: DMI (x86 and arm64 servers), else the device tree. Serial and UUID are readable by root only. */
export async function systemInventory(tree: SysTree): Promise<Inventory['system']> {
  const [manufacturer, product, serial, uuid] = await Promise.all([
    tree.text(`${DMI}/sys_vendor`),
    tree.text(`${DMI}/product_name`),
    tree.text(`${DMI}/product_serial`),
    tree.text(`${DMI}/product_uuid`),
  ]);
  return knownTexts({
    manufacturer,
    product: product ?? (await tree.text(`${DEVICE_TREE}/model`)),
    serial: serial ?? (await tree.text(`${DEVICE_TREE}/serial-number`)),
    uuid: uuid?.toLowerCase(),
  });
}

export async function firmwareInventory(tree: SysTree): Promise<Inventory['firmware']> {
  const [isUefi, vendor, version, date] = await Promise.all([
    tree.has('sys/firmware/efi'),
    tree.text(`${DMI}/bios_vendor`),
    tree.text(`${DMI}/bios_version`),
    tree.text(`${DMI}/bios_date`),
  ]);
  return { kind: isUefi ? 'uefi' : 'bios', ...knownTexts({ vendor, version, date }) };
}

/** `arch`: as Node names it (`x64`); the inventory has the kernel's name. */
export async function cpuInventory(tree: SysTree, arch: string): Promise<Inventory['cpu']> {
  const text = (await tree.text('proc/cpuinfo')) ?? '';
  const threads = Math.max(1, text.match(/^processor\s*:/gm)?.length ?? 0);
  const names = (await tree.names('sys/devices/system/cpu')).filter((name) => /^cpu\d+$/.test(name));
  const [cores, sockets] = await Promise.all([
    countDistinct(tree, names, 'core_cpus_list'),
    countDistinct(tree, names, 'package_cpus_list'),
  ]);
  const model = inventoryText(cpuModel(text));
  return {
    ...(model === undefined ? {} : { model }),
    arch: KERNEL_ARCHES[arch] ?? arch,
    sockets: sockets || 1,
    cores: cores || threads,
    threads,
  };
}

const KERNEL_ARCHES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

/** x86 has a name; arm64 only numbers of maker and part. */
function cpuModel(cpuinfo: string): string | undefined {
  const field = (name: string): string | undefined => new RegExp(`^${name}\\s*:\\s*(.+)$`, 'm').exec(cpuinfo)?.[1];
  const implementer = field('CPU implementer');
  const numbers =
    implementer === undefined ? undefined : `ARM implementer ${implementer} part ${field('CPU part') ?? '?'}`;
  return field('model name') ?? numbers;
}

/** How many groups of threads there are: threads that share a core (or a package) have the same list. */
async function countDistinct(tree: SysTree, cpus: readonly string[], list: string): Promise<number> {
  const lists = await Promise.all(cpus.map((cpu) => tree.text(`sys/devices/system/cpu/${cpu}/topology/${list}`)));
  return new Set(lists.filter((text) => text !== undefined)).size;
}

/** What the kernel has to give, a little less than what is built in. */
export async function memoryBytes(tree: SysTree): Promise<number> {
  const kibibytes = /^MemTotal:\s*(\d+) kB$/m.exec((await tree.text('proc/meminfo')) ?? '')?.[1];
  return Number(kibibytes ?? 0) * 1024;
}
