import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DiskHints, matchDisk } from './disk-hints.ts';
import type { InventoryDisk } from './inventory.ts';

const GB = 1e9;

const DISKS: readonly InventoryDisk[] = [
  disk('/dev/sda', {
    model: 'ATA SAMSUNG MZ7LH480',
    vendor: 'ATA',
    serial: 'S45B',
    wwn: '0x5002538e40a1b2c3',
    transport: 'sata',
  }),
  disk('/dev/sdb', {
    sizeBytes: 4000 * GB,
    serial: 'Z1X',
    rotational: true,
    transport: 'sas',
    hctl: '1:0:3:0',
    vendor: 'SEAGATE',
  }),
  disk('/dev/sdc', {
    sizeBytes: 32 * GB,
    serial: 'STICK',
    transport: 'usb',
    removable: true,
    byId: ['usb-Kingston_STICK-0:0'],
  }),
  disk('/dev/nvme0n1', {
    serial: 'N2',
    model: 'SAMSUNG MZQL2',
    transport: 'nvme',
    byId: ['nvme-SAMSUNG_MZQL2_N2', 'nvme-eui.01'],
  }),
  disk('/dev/nvme1n1', { serial: 'N1', model: 'SAMSUNG MZQL2', transport: 'nvme' }),
];

function disk(device: string, about: Partial<InventoryDisk>): InventoryDisk {
  return { device, sizeBytes: 480 * GB, logicalBlockBytes: 512, rotational: false, ...about };
}

function found(hints: DiskHints, disks = DISKS): string {
  const match = matchDisk(hints, disks);
  return 'disk' in match ? match.disk.device : match.fault;
}

describe('disk hints', () => {
  it('find the one disk that has all that they say', () => {
    const cases: readonly (readonly [DiskHints, string])[] = [
      [{ serial: 's45b' }, '/dev/sda'],
      [{ wwn: '0x5002538E40A1B2C3' }, '/dev/sda'],
      [{ model: 'samsung  mz7' }, '/dev/sda'],
      [{ rotational: true }, '/dev/sdb'],
      [{ minSize: 1000 * GB }, '/dev/sdb'],
      [{ hctl: '1:0:3:0' }, '/dev/sdb'],
      [{ vendor: 'seagate', transport: 'sas' }, '/dev/sdb'],
      [{ byId: '/dev/disk/by-id/nvme-eui.01' }, '/dev/nvme0n1'],
      [{ byId: 'nvme-SAMSUNG_MZQL2_N2', rotational: false }, '/dev/nvme0n1'],
      [{ transport: 'sata', maxSize: 480 * GB, minSize: 480 * GB }, '/dev/sda'],
    ];
    for (const [hints, device] of cases) assert.equal(found(hints), device, JSON.stringify(hints));
  });

  it('name all disks that match when there are several, and the way out', () => {
    assert.equal(
      found({ transport: 'nvme' }),
      '2 disks are transport nvme: /dev/nvme1n1 (480 GB, nvme, SAMSUNG MZQL2, serial N1); /dev/nvme0n1 (480 GB, nvme, SAMSUNG MZQL2, serial N2): add a hint such as serial, or allowSeveral: true',
    );
  });

  it('take the first by serial number when several are allowed, in whatever order the kernel has them', () => {
    const hints = { transport: 'nvme', allowSeveral: true } as const;

    assert.equal(found(hints), '/dev/nvme1n1');
    assert.equal(found(hints, DISKS.toReversed()), '/dev/nvme1n1');
  });

  it('never mean a USB stick by accident', () => {
    assert.match(
      found({ maxSize: 100 * GB }),
      /^no disk of this machine is at most 100 GB: it has \/dev\/sda \(480 GB, sata/,
    );
    assert.match(found({ transport: 'sata', serial: 'STICK' }), /^no disk of this machine/);
    assert.equal(found({ transport: 'usb' }), '/dev/sdc');
    assert.equal(found({ serial: 'STICK' }), '/dev/sdc');
    assert.equal(found({ byId: 'usb-Kingston_STICK-0:0' }), '/dev/sdc');
  });

  it('say so when the machine has no disks', () => {
    assert.equal(found({ serial: 'X' }, []), 'no disk of this machine is serial X: it shows no disks at all');
  });
});
