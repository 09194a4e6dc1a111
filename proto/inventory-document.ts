import { TinsmithError } from './errors.ts';
import type { Inventory, InventoryDisk, InventoryInterface } from './inventory.ts';

/** Longer documents are refused unread. */
export const MAX_INVENTORY_BYTES = 256 * 1024;
/** More disks, interfaces or addresses than this are refused; agents leave the rest out. */
export const MAX_INVENTORY_ITEMS = 256;
const MAX_TEXT = 256;

/**
 * Reads an inventory as an agent sent it: a bounded copy of what proto/inventory.ts names and nothing else. A machine says
 * of itself what it likes, so every field is checked. Throws `invalid_input` that names the field.
 */
export function parseInventory(json: string): Inventory {
  if (Buffer.byteLength(json) > MAX_INVENTORY_BYTES) {
    throw unfit('document', `longer than ${MAX_INVENTORY_BYTES} bytes`);
  }
  const root = new Reader('', parseJson(json));
  const cpu = root.object('cpu');
  return {
    collectedAt: root.text('collectedAt'),
    system: root.object('system').optionalTexts('manufacturer', 'product', 'serial', 'uuid'),
    firmware: readFirmware(root.object('firmware')),
    cpu: {
      ...cpu.optionalTexts('model'),
      arch: cpu.text('arch'),
      sockets: cpu.count('sockets'),
      cores: cpu.count('cores'),
      threads: cpu.count('threads'),
    },
    memoryBytes: root.count('memoryBytes'),
    disks: root.list('disks').map(readDisk),
    interfaces: root.list('interfaces').map(readInterface),
  };
}

function readFirmware(firmware: Reader): Inventory['firmware'] {
  const kind = firmware.text('kind');
  if (kind !== 'bios' && kind !== 'uefi') throw unfit('firmware.kind', 'not "bios" or "uefi"');
  return { kind, ...firmware.optionalTexts('vendor', 'version', 'date') };
}

function readDisk(disk: Reader): InventoryDisk {
  return {
    device: disk.text('device'),
    sizeBytes: disk.count('sizeBytes'),
    logicalBlockBytes: disk.count('logicalBlockBytes'),
    rotational: disk.flag('rotational'),
    ...disk.optionalTexts('model', 'vendor', 'serial', 'wwn', 'hctl', 'transport'),
    ...(disk.has('byId') ? { byId: disk.texts('byId') } : {}),
    ...(disk.has('removable') ? { removable: disk.flag('removable') } : {}),
  };
}

function readInterface(nic: Reader): InventoryInterface {
  return {
    name: nic.text('name'),
    mac: nic.text('mac'),
    hasLink: nic.flag('hasLink'),
    addresses: nic.texts('addresses'),
    ...nic.optionalTexts('driver'),
    ...(nic.has('speedMbps') ? { speedMbps: nic.count('speedMbps') } : {}),
  };
}

/** One JSON object of the document, with the path that errors name. */
class Reader {
  readonly #path: string;
  readonly #fields: ReadonlyMap<string, unknown>;

  constructor(path: string, value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw unfit(path === '' ? 'document' : path, 'not an object');
    }
    this.#path = path;
    this.#fields = new Map<string, unknown>(Object.entries(value));
  }

  has(name: string): boolean {
    return this.#fields.has(name);
  }

  object(name: string): Reader {
    return new Reader(this.#pathOf(name), this.#fields.get(name));
  }

  list(name: string): readonly Reader[] {
    return this.#array(name).map((item, index) => new Reader(`${this.#pathOf(name)}[${index}]`, item));
  }

  texts(name: string): readonly string[] {
    return this.#array(name).map((item) => checkText(this.#pathOf(name), item));
  }

  text(name: string): string {
    return checkText(this.#pathOf(name), this.#fields.get(name));
  }

  optionalTexts<const N extends string>(...names: readonly N[]): { readonly [K in N]?: string } {
    const found: { [K in N]?: string } = {};
    for (const name of names) if (this.has(name)) found[name] = this.text(name);
    return found;
  }

  count(name: string): number {
    const value = this.#fields.get(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      throw unfit(this.#pathOf(name), 'not a whole number of 0 or more');
    }
    return value;
  }

  flag(name: string): boolean {
    const value = this.#fields.get(name);
    if (typeof value !== 'boolean') throw unfit(this.#pathOf(name), 'not true or false');
    return value;
  }

  #array(name: string): readonly unknown[] {
    const value = this.#fields.get(name);
    if (!Array.isArray(value)) throw unfit(this.#pathOf(name), 'not a list');
    if (value.length > MAX_INVENTORY_ITEMS) throw unfit(this.#pathOf(name), `longer than ${MAX_INVENTORY_ITEMS} items`);
    return value;
  }

  #pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }
}

function checkText(path: string, value: unknown): string {
  if (typeof value !== 'string') throw unfit(path, 'not a text');
  if (value.length > MAX_TEXT) throw unfit(path, `longer than ${MAX_TEXT} characters`);
  // Control characters would reach operators' terminals.
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(value)) throw unfit(path, 'holding control characters');
  return value;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new TinsmithError('invalid_input', 'cannot read an inventory: it is not JSON', { cause });
  }
}

function unfit(path: string, fact: string): TinsmithError {
  return new TinsmithError('invalid_input', `cannot read an inventory: ${path} is ${fact}`);
}
