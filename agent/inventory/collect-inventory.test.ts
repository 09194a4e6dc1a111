import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import type { Inventory } from '#proto/inventory.ts';
import { MAX_INVENTORY_ITEMS, parseInventory } from '#proto/inventory-document.ts';
import { collectInventory } from './collect-inventory.ts';

/** Path below the root → content of the file, or `-> target` of a link. */
type Tree = Readonly<Record<string, string | Buffer>>;

const virtioMachine: Tree = {
  'proc/cpuinfo': cpuinfo(1, 'QEMU Virtual CPU version 2.5+'),
  'proc/meminfo': 'MemTotal:         365412 kB\nMemFree:          300000 kB\n',
  'sys/class/dmi/id/sys_vendor': 'QEMU\n',
  'sys/class/dmi/id/product_name': 'Standard PC (i440FX + PIIX, 1996)\n',
  'sys/class/dmi/id/product_serial': '\n',
  'sys/class/dmi/id/product_uuid': '5A1F29E4-0000-4000-8000-02AB00000001\n',
  'sys/class/dmi/id/bios_vendor': 'SeaBIOS\n',
  'sys/class/dmi/id/bios_version': '1.16.2-debian-1.16.2-1\n',
  'sys/class/dmi/id/bios_date': '04/01/2014\n',
  ...disk('vda', 'devices/pci0000:00/0000:00:04.0/virtio1', {
    size: '8388608',
    'queue/rotational': '1',
    serial: 'disk-0',
  }),
  'sys/devices/pci0000:00/0000:00:04.0/virtio1/vendor': '0x1af4\n',
  'sys/block/loop0/size': '0\n',
  'sys/block/ram0/size': '8192\n',
  'sys/block/sr0/size': '2097151\n',
  ...nic('eth0', 'devices/pci0000:00/0000:00:03.0/virtio0', {
    address: '02:AB:00:00:00:01',
    carrier: '1',
    speed: '-1',
  }),
  'sys/devices/pci0000:00/0000:00:03.0/virtio0/driver': '-> ../../../../bus/virtio/drivers/virtio_net',
  'sys/class/net/lo/address': '00:00:00:00:00:00\n',
};

const nvmeServer: Tree = {
  'proc/cpuinfo': cpuinfo(8, 'AMD EPYC 9254 24-Core Processor'),
  'proc/meminfo': 'MemTotal:       131072000 kB\n',
  'sys/firmware/efi/runtime': '0x1\n',
  'sys/class/dmi/id/sys_vendor': 'Dell Inc.\n',
  'sys/class/dmi/id/product_name': 'PowerEdge R6615\n',
  'sys/class/dmi/id/product_serial': 'ABC1234\n',
  'sys/class/dmi/id/product_uuid': 'Not Settable\n',
  ...topology([
    ['0,4', '0-7'],
    ['1,5', '0-7'],
    ['2,6', '0-7'],
    ['3,7', '0-7'],
    ['0,4', '0-7'],
    ['1,5', '0-7'],
    ['2,6', '0-7'],
    ['3,7', '0-7'],
  ]),
  ...disk('nvme0n1', 'devices/pci0000:40/0000:40:01.1/0000:41:00.0/nvme/nvme0', {
    size: '7501476528',
    'queue/rotational': '0',
    'queue/logical_block_size': '4096',
    wwid: 'eui.36434730520000020025384300000001',
  }),
  'sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0/nvme/nvme0/model': 'SAMSUNG MZQL23T8HCLS-00A07              \n',
  'sys/devices/pci0000:40/0000:40:01.1/0000:41:00.0/nvme/nvme0/serial': 'S64HNE0R000001      \n',
  ...disk('nvme0c0n1', 'devices/virtual/nvme', { size: '7501476528', hidden: '1' }),
  ...nic('eno1', 'devices/pci0000:c0/0000:c1:00.0', { address: 'b0:7b:25:00:00:01', carrier: '1', speed: '25000' }),
  'sys/devices/pci0000:c0/0000:c1:00.0/driver': '-> ../../../bus/pci/drivers/bnxt_en',
  ...nic('eno2', 'devices/pci0000:c0/0000:c1:00.1', { address: 'b0:7b:25:00:00:02', speed: '4294967295' }),
};

const sataServer: Tree = {
  'proc/cpuinfo': cpuinfo(4, 'Intel(R) Xeon(R) CPU E5-2609 0 @ 2.40GHz'),
  'proc/meminfo': 'MemTotal:       16384000 kB\n',
  'sys/class/dmi/id/sys_vendor': 'To Be Filled By O.E.M.\n',
  'sys/class/dmi/id/product_name': 'System Product Name\n',
  'sys/class/dmi/id/product_serial': '0123456789\n',
  ...topology([
    ['0', '0-1'],
    ['1', '0-1'],
    ['2', '2-3'],
    ['3', '2-3'],
  ]),
  ...disk('sda', 'devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0', {
    size: '3907029168',
    'queue/rotational': '1',
  }),
  'sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/vendor': 'ATA     \n',
  'sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/model': 'ST2000NM0033-9ZM\n',
  'sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/wwid': 'naa.5000c50054b1aa01\n',
  'sys/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/vpd_pg80': vpdSerial('            Z1X0ABCD'),
  ...disk('sdb', 'devices/pci0000:00/0000:00:02.0/host1/port-1:0/end_device-1:0/target1:0:0/1:0:0:0', {
    size: '1172123568',
    'queue/rotational': '1',
  }),
  'sys/devices/pci0000:00/0000:00:02.0/host1/port-1:0/end_device-1:0/target1:0:0/1:0:0:0/vendor': 'SEAGATE \n',
  'sys/devices/pci0000:00/0000:00:02.0/host1/port-1:0/end_device-1:0/target1:0:0/1:0:0:0/model': 'ST600MM0006     \n',
  ...disk('sdc', 'devices/pci0000:00/0000:00:1a.0/usb1/1-1/1-1:1.0/host2/target2:0:0/2:0:0:0', { size: '0' }),
};

describe('the inventory', () => {
  it('of a small virtual machine', async () => {
    const found = await collect(virtioMachine);

    assert.deepEqual(found, {
      collectedAt: '2026-01-01T00:00:00.000Z',
      system: {
        manufacturer: 'QEMU',
        product: 'Standard PC (i440FX + PIIX, 1996)',
        uuid: '5a1f29e4-0000-4000-8000-02ab00000001',
      },
      firmware: { kind: 'bios', vendor: 'SeaBIOS', version: '1.16.2-debian-1.16.2-1', date: '04/01/2014' },
      cpu: { model: 'QEMU Virtual CPU version 2.5+', arch: 'x86_64', sockets: 1, cores: 1, threads: 1 },
      memoryBytes: 374_181_888,
      disks: [
        {
          device: '/dev/vda',
          sizeBytes: 4_294_967_296,
          logicalBlockBytes: 512,
          rotational: true,
          byId: ['virtio-disk-0'],
          serial: 'disk-0',
          transport: 'virtio',
        },
      ],
      interfaces: [
        { name: 'eth0', mac: '02:ab:00:00:00:01', hasLink: true, addresses: ['10.0.0.5'], driver: 'virtio_net' },
      ],
    });
  });

  it('of an NVMe server with UEFI, two NICs and threads that share cores', async () => {
    const found = await collect(nvmeServer);

    assert.equal(found.firmware.kind, 'uefi');
    assert.deepEqual([found.cpu.sockets, found.cpu.cores, found.cpu.threads], [1, 4, 8]);
    assert.deepEqual(found.disks, [
      {
        device: '/dev/nvme0n1',
        sizeBytes: 3_840_755_982_336,
        logicalBlockBytes: 4096,
        rotational: false,
        byId: ['nvme-SAMSUNG_MZQL23T8HCLS-00A07_S64HNE0R000001', 'nvme-eui.36434730520000020025384300000001'],
        model: 'SAMSUNG MZQL23T8HCLS-00A07',
        serial: 'S64HNE0R000001',
        wwn: 'eui.36434730520000020025384300000001',
        transport: 'nvme',
      },
    ]);
    assert.deepEqual(
      found.interfaces.map(({ name, hasLink, speedMbps, driver }) => [name, hasLink, speedMbps, driver]),
      [
        ['eno1', true, 25_000, 'bnxt_en'],
        ['eno2', false, undefined, undefined],
      ],
    );
  });

  it('of a SATA and SAS server whose maker filled nothing in', async () => {
    const found = await collect(sataServer);

    assert.deepEqual(found.system, {});
    assert.deepEqual([found.cpu.sockets, found.cpu.cores, found.cpu.threads], [2, 4, 4]);
    assert.deepEqual(
      found.disks.map(({ device, model, serial, wwn, transport, hctl }) => [
        device,
        model,
        serial,
        wwn,
        transport,
        hctl,
      ]),
      [
        ['/dev/sda', 'ST2000NM0033-9ZM', 'Z1X0ABCD', '0x5000c50054b1aa01', 'sata', '0:0:0:0'],
        ['/dev/sdb', 'SEAGATE ST600MM0006', undefined, undefined, 'sas', '1:0:0:0'],
      ],
    );
  });

  it('of an arm64 board without DMI comes from the device tree', async () => {
    const found = await collect(
      {
        'proc/cpuinfo': 'processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0b\n\nprocessor\t: 1\n',
        'proc/device-tree/model': 'Raspberry Pi 5 Model B Rev 1.0\0',
        'proc/device-tree/serial-number': 'c0ffee0000000001\0',
      },
      'arm64',
    );

    assert.deepEqual(found.system, { product: 'Raspberry Pi 5 Model B Rev 1.0', serial: 'c0ffee0000000001' });
    assert.deepEqual(found.cpu, {
      model: 'ARM implementer 0x41 part 0xd0b',
      arch: 'aarch64',
      sockets: 1,
      cores: 2,
      threads: 2,
    });
  });

  it('of a machine that tells nothing is empty, not an error', async () => {
    const found = await collect({});

    assert.deepEqual(found.disks, []);
    assert.deepEqual(found.interfaces, []);
    assert.equal(found.memoryBytes, 0);
  });

  it('of a machine with garbage in its firmware and hundreds of disks is one that the server takes', async () => {
    const disks = Array.from({ length: 300 }, (_, index) =>
      disk(`sd${index}`, `devices/host${index}/target/${index}:0:0:0`, { size: '1000', 'queue/rotational': 'yes' }),
    );
    const found = await collect({
      ...Object.assign({}, ...disks),
      'sys/class/dmi/id/sys_vendor': Buffer.from([0xff, 0xfe, 0x1b, 0x5b, 0x32, 0x4a, 0x41]),
      'sys/class/dmi/id/product_name': 'x'.repeat(4000),
      'proc/meminfo': 'MemTotal: lots\n',
    });

    assert.equal(found.disks.length, MAX_INVENTORY_ITEMS);
    assert.equal(found.system.manufacturer, '[2JA');
    assert.deepEqual(parseInventory(JSON.stringify(found)), found);
  });

  it('of this machine is there within a second', async () => {
    const found = await collectHere();
    let bestMs = Number.POSITIVE_INFINITY;

    // A busy computer may take longer now and then, but not every time.
    for (let round = 0; round < 10 && bestMs >= 1000; round += 1) {
      const startedAt = performance.now();
      await collectHere();
      bestMs = Math.min(bestMs, performance.now() - startedAt);
    }

    assert.ok(bestMs < 1000, `${bestMs} ms`);
    assert.deepEqual(parseInventory(JSON.stringify(found)), found);
    assert.ok(found.memoryBytes > 0);
  });
});

async function collectHere(): Promise<Inventory> {
  return collectInventory({ root: '/', arch: process.arch, addressesOf: () => [], now: new Date(0) });
}

async function collect(tree: Tree, arch = 'x64'): Promise<Inventory> {
  await using root = await mkdtempDisposable(join(tmpdir(), 'tinsmith-inventory-'));
  for (const [path, content] of Object.entries(tree)) {
    const full = join(root.path, path);
    await mkdir(dirname(full), { recursive: true });
    if (typeof content === 'string' && content.startsWith('-> ')) await symlink(content.slice(3), full);
    else await writeFile(full, content);
  }
  const now = new Date('2026-01-01T00:00:00Z');
  return await collectInventory({
    root: root.path,
    arch,
    addressesOf: (name) => (name === 'eth0' ? ['10.0.0.5'] : []),
    now,
  });
}

/** `device`: folder of the device below sys, which the disk links to. */
function disk(name: string, device: string, files: Readonly<Record<string, string>>): Tree {
  return linked(`sys/block/${name}`, device, files);
}

function nic(name: string, device: string, files: Readonly<Record<string, string>>): Tree {
  return linked(`sys/class/net/${name}`, device, files);
}

function linked(base: string, device: string, files: Readonly<Record<string, string>>): Tree {
  const up = '../'.repeat(base.split('/').length - 1);
  const own = Object.entries(files).map(([file, text]) => [`${base}/${file}`, `${text}\n`]);
  return {
    ...Object.fromEntries(own),
    [`sys/${device}/uevent`]: '',
    [`${base}/device`]: `-> ${up}${device}`,
  };
}

function cpuinfo(threads: number, model: string): string {
  return Array.from({ length: threads }, (_, index) => `processor\t: ${index}\nmodel name\t: ${model}\n\n`).join('');
}

/** For each thread: the threads of its core and those of its package. */
function topology(threads: readonly (readonly [string, string])[]): Tree {
  const files = threads.flatMap(([core, pack], index) => {
    const base = `sys/devices/system/cpu/cpu${index}/topology`;
    return [
      [`${base}/core_cpus_list`, `${core}\n`],
      [`${base}/package_cpus_list`, `${pack}\n`],
    ];
  });
  return Object.fromEntries(files);
}

function vpdSerial(serial: string): Buffer {
  return Buffer.concat([Buffer.from([0, 0x80, 0, serial.length]), Buffer.from(serial), Buffer.alloc(8)]);
}
