import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ataIdentity, byIdNames } from './disk-names.ts';

describe('names of /dev/disk/by-id', () => {
  it('are those that udev makes', () => {
    const cases: readonly (readonly [Parameters<typeof byIdNames>[0], readonly string[]])[] = [
      [
        { transport: 'nvme', model: 'SAMSUNG MZQL23T8HCLS-00A07', serial: 'S64HNE0R000001', wwid: 'eui.3643473052' },
        ['nvme-SAMSUNG_MZQL23T8HCLS-00A07_S64HNE0R000001', 'nvme-eui.3643473052'],
      ],
      [{ transport: 'virtio', serial: 'tinsmith-disk' }, ['virtio-tinsmith-disk']],
      [{ transport: 'virtio' }, []],
      [
        {
          transport: 'sata',
          vendor: 'ATA',
          model: 'Samsung SSD 860 ',
          ataModel: 'Samsung SSD 860 EVO 500GB',
          serial: 'S3Z1',
          wwid: 'naa.5002538e40a1b2c3',
        },
        ['ata-Samsung_SSD_860_EVO_500GB_S3Z1', 'wwn-0x5002538e40a1b2c3'],
      ],
      [
        { transport: 'sas', vendor: 'SEAGATE', model: 'ST600MM0006', serial: 'S0M1', wwid: 'naa.5000c50054b1aa01' },
        ['scsi-35000c50054b1aa01', 'wwn-0x5000c50054b1aa01'],
      ],
      [
        { transport: 'scsi', vendor: 'QEMU', model: 'QEMU HARDDISK', serial: 'disk/1' },
        ['scsi-0QEMU_QEMU_HARDDISK_disk_1'],
      ],
    ];
    for (const [disk, names] of cases) assert.deepEqual(byIdNames(disk), names);
  });

  it('need the full model of a SATA disk, which only its own words tell', () => {
    const page = Buffer.alloc(572);
    page[1] = 0x89;
    const put = (word: number, text: string, length: number): void => {
      Buffer.from(text.padEnd(length), 'latin1')
        .swap16()
        .copy(page, 60 + word * 2);
    };
    put(10, '      S3Z1NB0K', 20);
    put(27, 'Samsung SSD 860 EVO 500GB', 40);

    assert.deepEqual(ataIdentity(page), { model: 'Samsung SSD 860 EVO 500GB', serial: 'S3Z1NB0K' });
    assert.equal(ataIdentity(Buffer.alloc(572)), undefined);
    assert.equal(ataIdentity(page.subarray(0, 100)), undefined);
  });
});
