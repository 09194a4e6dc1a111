import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import {
  clearDisk,
  fillDisk,
  MIB,
  NVME_DISK,
  SATA_DISK,
  WIPE_DISK_BYTES,
  WipeWorld,
} from '#test/support/wipe-world.ts';
import type { FolderMachine } from '../../machine/folder-machine.ts';

let world: WipeWorld;

beforeEach(() => {
  world = new WipeWorld();
});

afterEach(() => world[Symbol.dispose]());

const NVME_ABOUT = { about: { [NVME_DISK]: { transport: 'nvme' } } };
const CONTROLLER = { sanicap: 0, oacs: 0, fna: 0 };
const id = (fields: Partial<typeof CONTROLLER>) => async () => ({
  text: JSON.stringify({ mn: 'X', ...CONTROLLER, ...fields }, null, 2),
});
const oneNamespace = async () => ({ text: '[   0]:0x1' });

/** What hdparm 9.65 prints for a disk with the security feature set. */
function hdparmText(words: readonly string[]): string {
  return [
    '',
    'ATA device, with non-removable media',
    '\tModel Number:       Samsung SSD 860 EVO 500GB',
    'Commands/features:',
    '\t   *\tSecurity Mode feature set',
    'Security: ',
    '\tMaster password revision code = 65534',
    ...words.map((word) => `\t${word}`),
    '\t2min for SECURITY ERASE UNIT. 8min for ENHANCED SECURITY ERASE UNIT.',
    'Logical Unit WWN Device Identifier: 5002538e40a1b2c3',
  ].join('\n');
}

describe('wipe of an NVMe drive', () => {
  it('sanitizes by a new key when the drive can, waits for the end, and accepts noise', async () => {
    const states = ['0x101', '0x2', '0x2', '0x101'];
    const started: string[] = [];
    const machine: FolderMachine = world.machine(
      {
        'nvme id-ctrl': id({ sanicap: 0xa000_0003, oacs: 0x2, fna: 0x4 }),
        'nvme list-ns': oneNamespace,
        'nvme sanitize-log': async () => ({
          text: `Sanitize Progress                      (SPROG) :  32768\nSanitize Status                        (SSTAT) :  ${states.shift() ?? '0x101'}`,
        }),
        'nvme sanitize': async (argv) => {
          started.push(argv.join(' '));
          await writeFile(machine.diskFile(NVME_DISK), randomBytes(WIPE_DISK_BYTES));
          return {};
        },
      },
      NVME_ABOUT,
    );
    await fillDisk(machine, NVME_DISK);

    const result = await world.wipe(machine, { DEST_DISK: NVME_DISK });

    assert.equal(result.error, undefined);
    assert.deepEqual(started, ['nvme sanitize /dev/nvme0n1 --sanact=4 --ause']);
    assert.match(world.log, /256 samples were read back: nothing of what was there\nwiped .* by nvme-sanitize/);
    assert.equal(world.progress.includes(0.5), true);
    const bytes = await readFile(machine.diskFile(NVME_DISK));
    assert.equal(
      bytes.subarray(0, MIB).equals(Buffer.alloc(MIB)) && bytes.subarray(-MIB).equals(Buffer.alloc(MIB)),
      true,
    );
  });

  it('goes on waiting for a sanitize that an earlier try began', async () => {
    const states = ['0x2', '0x2', '0x1'];
    const machine: FolderMachine = world.machine(
      {
        'nvme id-ctrl': id({ sanicap: 2 }),
        'nvme list-ns': oneNamespace,
        'nvme sanitize-log': async () => {
          const state = states.shift() ?? '0x1';
          if (states.length === 0) await clearDisk(machine, NVME_DISK);
          return { text: `(SPROG) :  1\n(SSTAT) :  ${state}` };
        },
        'nvme sanitize': async () => assert.fail('a second sanitize was begun'),
      },
      NVME_ABOUT,
    );
    await fillDisk(machine, NVME_DISK);

    const result = await world.wipe(machine, { DEST_DISK: NVME_DISK, METHOD: 'nvme-sanitize' });

    assert.equal(result.error, undefined);
  });

  it('formats with the erase that the drive has, and goes on to the next method when that fails', async () => {
    const asked: string[] = [];
    const machine: FolderMachine = world.machine(
      {
        'nvme id-ctrl': id({ oacs: 0x2, fna: 0x4 }),
        'nvme format': async (argv) => {
          asked.push(argv.join(' '));
          return { exitCode: 1, text: 'NVMe status: INTERNAL: The command was not completed successfully' };
        },
        blkdiscard: async () => (await clearDisk(machine, NVME_DISK), {}),
      },
      { about: { [NVME_DISK]: { transport: 'nvme', canDiscard: true } } },
    );
    await fillDisk(machine, NVME_DISK);

    const result = await world.wipe(machine, { DEST_DISK: NVME_DISK });

    assert.equal(result.error, undefined);
    assert.deepEqual(asked, ['nvme format /dev/nvme0n1 --ses=2 --force --timeout=86400000']);
    assert.match(
      world.log,
      /nvme-format: nvme format ended with exit code 1: NVMe status: INTERNAL.*on to the next method/,
    );
  });

  it('never sanitizes or formats a drive with a namespace that nobody named', async () => {
    const machine = world.machine(
      {
        'nvme id-ctrl': id({ sanicap: 3, oacs: 0x2, fna: 0x7 }),
        'nvme list-ns': async () => ({ text: '[   0]:0x1\n[   1]:0x2' }),
        'nvme sanitize': async () => assert.fail('the drive was sanitized'),
        'nvme format': async () => assert.fail('the drive was formatted'),
      },
      NVME_ABOUT,
    );

    const result = await world.wipe(machine, { DEST_DISK: NVME_DISK });

    assert.equal(result.error, undefined);
    assert.match(world.log, /it would erase all 2 namespaces of the drive[^]*wiped .* by zero/);
  });
});

describe('wipe of a SATA disk', () => {
  const SATA = { about: { [SATA_DISK]: { transport: 'sata' } } };
  const READY = [
    'supported',
    'not\tenabled',
    'not\tlocked',
    'not\tfrozen',
    'not\texpired: security count',
    'supported: enhanced erase',
  ];

  it('lets the disk erase itself with its enhanced erase', async () => {
    const asked: string[] = [];
    const machine: FolderMachine = world.machine(
      {
        'hdparm -I': async () => ({ text: hdparmText(READY) }),
        hdparm: async (argv) => {
          asked.push(argv.slice(3).join(' '));
          if (argv.includes('--security-erase-enhanced')) await clearDisk(machine, SATA_DISK);
          return {};
        },
      },
      SATA,
    );
    await fillDisk(machine, SATA_DISK);

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK });

    assert.equal(result.error, undefined);
    assert.deepEqual(asked, ['--security-set-pass tinsmith /dev/sda', '--security-erase-enhanced tinsmith /dev/sda']);
  });

  it('opens a disk that an interrupted run has locked', async () => {
    const asked: string[] = [];
    let isErased = false;
    const machine: FolderMachine = world.machine(
      {
        'hdparm -I': async () => ({
          text: hdparmText(
            isErased
              ? READY
              : [
                  'supported',
                  'enabled',
                  'locked',
                  'not\tfrozen',
                  'not\texpired: security count',
                  'not\tsupported: enhanced erase',
                ],
          ),
        }),
        hdparm: async (argv) => {
          asked.push(argv.slice(3).join(' '));
          if (argv.includes('--security-erase')) {
            await clearDisk(machine, SATA_DISK);
            isErased = true;
          }
          return {};
        },
      },
      SATA,
    );

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK, METHOD: 'ata-secure-erase' });

    assert.equal(result.error, undefined);
    assert.deepEqual(asked, ['--security-unlock tinsmith /dev/sda', '--security-erase tinsmith /dev/sda']);
  });

  it('leaves no password behind when the erase fails', async () => {
    const asked: string[] = [];
    const machine = world.machine(
      {
        'hdparm -I': async () => ({ text: hdparmText(READY) }),
        hdparm: async (argv) => {
          asked.push(argv[3] ?? '');
          return argv.includes('--security-erase-enhanced')
            ? { exitCode: 5, text: 'SECURITY_ERASE: Input/output error' }
            : {};
        },
      },
      SATA,
    );

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK });

    assert.equal(result.error, undefined);
    assert.deepEqual(asked, ['--security-set-pass', '--security-erase-enhanced', '--security-disable']);
    assert.match(world.log, /ata-secure-erase: hdparm --user-master ended with exit code 5[^]*wiped .* by zero/);
  });

  it('goes on to the next method when the firmware has frozen the disk', async () => {
    const machine = world.machine(
      { 'hdparm -I': async () => ({ text: hdparmText(READY.map((word) => word.replace('not\tfrozen', 'frozen'))) }) },
      SATA,
    );
    await fillDisk(machine, SATA_DISK);

    const result = await world.wipe(machine, { DEST_DISK: SATA_DISK });

    assert.equal(result.error, undefined);
    assert.match(world.log, /the firmware has frozen its security settings; on to the next/);
  });
});
