import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import { loadManifests } from './load-manifests.ts';

function load(disks: string) {
  const text = `apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata: {name: n1}
spec:
  interfaces: [{dhcp: {mac: 08:00:27:00:00:01}}]
  disks: ${disks}
`;
  const { hardware, problems } = loadManifests([{ name: 'm.yaml', text }]);
  return { disks: hardware[0]?.value.spec.disks, problems: describeProblems(problems) };
}

test('disks by hints get a path of their own, beside disks by path', () => {
  const { disks, problems } = load(`
    - {device: /dev/sda}
    - {serial: S45B, transport: sata, rotational: false}
    - {minSize: 480GB, maxSize: 1.92 TB, allowSeveral: true}
    - {byId: /dev/disk/by-id/nvme-X_1, minSize: 1000, hctl: "0:0:1:0"}
    - {wwn: "0x5000c50054b1aa01", model: ST2000, vendor: SEAGATE, maxSize: 1TiB}`);

  assert.deepEqual(problems, []);
  assert.deepEqual(disks, [
    { device: '/dev/sda' },
    { device: '/dev/disk/by-hint/1', serial: 'S45B', transport: 'sata', rotational: false },
    { device: '/dev/disk/by-hint/2', minSize: 480e9, maxSize: 1.92e12, allowSeveral: true },
    { device: '/dev/disk/by-hint/3', byId: '/dev/disk/by-id/nvme-X_1', minSize: 1000, hctl: '0:0:1:0' },
    {
      device: '/dev/disk/by-hint/4',
      wwn: '0x5000c50054b1aa01',
      model: 'ST2000',
      vendor: 'SEAGATE',
      maxSize: 2 ** 40,
    },
  ]);
});

test('a disk by hints is read again as it was shown', () => {
  const { disks } = load('[{minSize: 480GB, rotational: true}]');

  assert.deepEqual(load(JSON.stringify(disks)), { disks, problems: [] });
});

const FAULTS: readonly (readonly [string, string])[] = [
  ['[{}]', 'm.yaml:6:11: spec.disks[0] names no disk: add device, or a hint such as serial, wwn or byId'],
  ['[{allowSeveral: true}]', 'm.yaml:6:11: spec.disks[0] names no disk: add device, or a hint'],
  ['[{device: /dev/sda, serial: X}]', 'm.yaml:6:38: spec.disks[0] has both device and serial: leave out one of them'],
  ['[{device: /dev/disk/by-hint/0}]', 'm.yaml:6:20: spec.disks[0].device /dev/disk/by-hint/0 is the path of a disk by'],
  ['[{device: /dev/disk/by-hint/1, serial: X}]', 'm.yaml:6:49: spec.disks[0] has both device and serial'],
  ['[{device: sda}]', 'm.yaml:6:20: spec.disks[0].device "sda" is not the path of a disk'],
  ['[{serail: X}]', 'm.yaml:6:12: spec.disks[0].serail is not a known field (did you mean serial?)'],
  ['[{serial: 123}]', 'm.yaml:6:20: spec.disks[0].serial is the number 123: write it in quotes, "123"'],
  ['[{serial: ""}]', 'm.yaml:6:20: spec.disks[0].serial "" is no hint: write 1 to 256 characters'],
  ['[{transport: nvmee}]', 'm.yaml:6:23: spec.disks[0].transport "nvmee" is not one of nvme, sata, sas,'],
  ['[{rotational: "no"}]', 'm.yaml:6:24: spec.disks[0].rotational is'],
  ['[{minSize: 480}]', ''],
  ['[{minSize: 480 bananas}]', 'm.yaml:6:21: spec.disks[0].minSize "480 bananas" is not a size: write it like 480GB'],
  ['[{minSize: 0}]', 'm.yaml:6:21: spec.disks[0].minSize is 0: write a whole number from 1'],
  ['[{minSize: 2TB, maxSize: 1TB}]', 'm.yaml:6:35: spec.disks[0].maxSize is less than minSize: swap the two'],
  ['[{hctl: "0:1"}]', 'm.yaml:6:18: spec.disks[0].hctl "0:1" is no SCSI address: write it like 0:0:1:0'],
  ['[{byId: ../sda}]', 'm.yaml:6:18: spec.disks[0].byId "../sda" is no name of /dev/disk/by-id'],
];

for (const [disks, expected] of FAULTS) {
  test(`${disks} is ${expected === '' ? 'fine' : 'refused at its place'}`, () => {
    const { problems } = load(disks);

    assert.equal(problems.length, expected === '' ? 0 : 1, problems.join('\n'));
    assert.equal((problems[0] ?? '').slice(0, expected.length), expected);
  });
}
