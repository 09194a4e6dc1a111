import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import { loadManifests } from './load-manifests.ts';

const FIXTURES = new URL('../../test/fixtures/eksa-example/', import.meta.url);

const HEADER = 'hostname,mac,ip_address,netmask,gateway,nameservers,labels,disk,bmc_ip,bmc_username,bmc_password';
const ROW = 'n1,08:00:27:00:00:01,10.0.0.11,255.255.255.0,10.0.0.1,8.8.8.8,type=cp,/dev/sda,,,';

function load(text: string, name = 'h.csv') {
  const loaded = loadManifests([{ name, text }]);
  return {
    hardware: loaded.hardware.map(({ value }) => value),
    problems: describeProblems(loaded.problems),
    warnings: describeProblems(loaded.warnings),
  };
}

function csv(...rows: readonly string[]): string {
  return `${[HEADER, ...rows].join('\n')}\n`;
}

test('the published file makes two machines, its upper-case MACs in lower case', () => {
  const { hardware, problems, warnings } = load(readFileSync(new URL('hardware.csv', FIXTURES), 'utf8'));

  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, []);
  assert.deepEqual(
    hardware.map(({ name, labels, spec }) => [name, labels, spec.interfaces[0]?.dhcp?.mac]),
    [
      ['eksabmhp1-cp-n-1', { type: 'cp' }, '08:00:27:99:5b:b7'],
      ['eksabmhp1-dp-n-1', { type: 'cp' }, '08:00:27:ac:c9:77'],
    ],
  );
});

test('a row becomes the Hardware that EKS Anywhere makes of it, field by field', () => {
  const row =
    'n1,08-00-27-00-00-01,10.0.0.11,255.255.255.0,10.0.0.1,8.8.8.8|1.1.1.1,type=cp|zone=a,/dev/sda,10.0.0.9,root,pw,42';
  const { hardware, problems } = load(`${HEADER},vlan_id\n${row}\n`);

  assert.deepEqual(problems, []);
  const plan = { address: '10.0.0.11', netmask: '255.255.255.0', gateway: '10.0.0.1', family: 4 };
  assert.deepEqual(hardware, [
    {
      name: 'n1',
      labels: { type: 'cp', zone: 'a' },
      annotations: {},
      spec: {
        bmcRef: { kind: 'Machine', name: 'bmc-n1' },
        disks: [{ device: '/dev/sda' }],
        interfaces: [
          {
            netboot: { allowPXE: true, allowWorkflow: true },
            dhcp: {
              arch: 'x86_64',
              mac: '08:00:27:00:00:01',
              hostname: 'n1',
              ip: plan,
              lease_time: 4_294_967_294,
              name_servers: ['8.8.8.8', '1.1.1.1'],
              uefi: true,
              vlan_id: '42',
            },
          },
        ],
        metadata: {
          facility: { facility_code: 'onprem', plan_slug: 'c2.medium.x86' },
          instance: {
            id: '08:00:27:00:00:01',
            hostname: 'n1',
            ips: [{ ...plan, public: true }],
            allow_pxe: true,
            always_pxe: true,
            operating_system: {},
          },
        },
      },
    },
  ]);
});

test('both published orders of columns, and files without the optional columns, are read alike', () => {
  const documented =
    'hostname,bmc_ip,bmc_username,bmc_password,mac,ip_address,netmask,gateway,nameservers,labels,disk\n' +
    'n1,,,,08:00:27:00:00:01,10.0.0.11,255.255.255.0,10.0.0.1,8.8.8.8,type=cp,/dev/sda\n';
  const short = csv(ROW).replaceAll(/(,bmc_ip.*|,,,)$/gm, '');

  assert.deepEqual(load(documented).hardware, load(csv(ROW)).hardware);
  assert.deepEqual(load(short).hardware, load(csv(ROW)).hardware);
});

test('byte order mark, CRLF, blank lines, quotes and rows of commas change nothing', () => {
  const plain = load(csv(ROW)).hardware;
  const quoted = ROW.replace('n1', '"n1"').replace('type=cp', '"type=cp"');

  for (const text of [
    `\uFEFF${csv(ROW)}`,
    csv('', ROW, '', '').replaceAll('\n', '\r\n'),
    csv(ROW).trimEnd(),
    csv(ROW).replaceAll('\n', '\r'),
    csv(quoted),
    csv(',,,,,,,,,,', ROW),
  ]) {
    const { hardware, problems, warnings } = load(text);
    assert.deepEqual([problems, warnings], [[], []], JSON.stringify(text));
    assert.deepEqual(hardware, plain);
  }
});

test('case and spaces in a header are forgiven with a warning; an unknown column is ignored with a guess', () => {
  const text = csv(ROW).replace('hostname', ' Hostname').replace('bmc_password', 'bmc_pass');
  const { hardware, problems, warnings } = load(text);

  assert.deepEqual(problems, []);
  assert.equal(hardware[0]?.name, 'n1');
  assert.deepEqual(warnings, [
    'h.csv:1:1: the column " Hostname" is read as hostname: EKS Anywhere wants it written so',
    'h.csv:1:86: the column "bmc_pass" is not known and is ignored (did you mean bmc_password?)',
  ]);
});

test('a header without required columns is refused once, whatever the rows say', () => {
  assert.deepEqual(load('hostname,mac,ip\nx,y,z\n').problems, [
    'h.csv:1:1: required columns are missing: ip_address, netmask, gateway, nameservers, disk, labels: add them to the first line',
  ]);
  assert.deepEqual(load(csv(ROW).replaceAll(',', ';')).problems, [
    'h.csv:1:1: required columns are missing: hostname, mac, ip_address, netmask, gateway, nameservers, disk, labels: separate the columns with commas',
  ]);
  assert.deepEqual(load(`${HEADER},mac\n`).problems, ['h.csv:1:98: the column mac is there twice: remove one']);
});

/** One change of the good row, and the one problem that it makes: place, subject and the start of the verdict. */
const FAULTS: readonly [from: string, to: string, expected: string][] = [
  ['n1', 'N1', 'h.csv:2:1: N1: hostname "N1" has upper-case letters: write n1'],
  ['n1', 'n_1', 'h.csv:2:1: n_1: hostname "n_1" is not a DNS name'],
  ['n1', '', 'h.csv:2:1: a row without hostname: hostname is empty: fill in the column hostname'],
  ['08:00:27:00:00:01', '08:00:27', 'h.csv:2:4: n1: mac "08:00:27" is not a MAC address'],
  ['08:00:27:00:00:01', '01:00:27:00:00:01', 'h.csv:2:4: n1: mac "01:00:27:00:00:01" is a multicast address'],
  ['08:00:27:00:00:01', '', 'h.csv:2:4: n1: mac is empty'],
  ['10.0.0.11', '10.0.0.300', 'h.csv:2:22: n1: ip_address "10.0.0.300" is not an IP address'],
  ['10.0.0.11', 'fd00::1', 'h.csv:2:22: n1: ip_address "fd00::1" is an IPv6 address'],
  ['10.0.0.11', '10.0.1.11', 'h.csv:2:22: n1: ip_address "10.0.1.11" is outside the gateway’s subnet'],
  ['10.0.0.11', '10.0.0.255', 'h.csv:2:22: n1: ip_address "10.0.0.255" is the broadcast address'],
  ['10.0.0.11', '', 'h.csv:2:22: n1: ip_address is empty'],
  ['255.255.255.0', '24', 'h.csv:2:32: n1: netmask "24" is a prefix length: write the mask 255.255.255.0'],
  ['255.255.255.0', '255.0.255.0', 'h.csv:2:32: n1: netmask "255.0.255.0" has holes'],
  [',10.0.0.1,', ',gw,', 'h.csv:2:46: n1: gateway "gw" is not an IP address'],
  [',8.8.8.8', ',', 'h.csv:2:55: n1: nameservers is empty: write at least one address'],
  ['8.8.8.8', '8.8.8.8|', 'h.csv:2:55: n1: nameservers "8.8.8.8|" has an empty part'],
  ['8.8.8.8', 'dns.example', 'h.csv:2:55: n1: nameservers "dns.example" is not an IP address'],
  ['type=cp', 'type', 'h.csv:2:63: n1: labels "type" is not one key=value'],
  ['type=cp', 'a=b=c', 'h.csv:2:63: n1: labels "a=b=c" is not one key=value'],
  ['type=cp', 'type=cp|', 'h.csv:2:63: n1: labels "type=cp|" has an empty part'],
  ['type=cp', '=cp', 'h.csv:2:63: n1: labels "=cp" is not a label key'],
  ['type=cp', 'type=c p', 'h.csv:2:63: n1: labels "type=c p" is not a label value'],
  ['type=cp', 'type=cp|type=dp', 'h.csv:2:63: n1: labels "type=cp|type=dp" gives the label "type" twice'],
  ['/dev/sda', 'sda', 'h.csv:2:71: n1: disk "sda" is not the path of a disk'],
  ['/dev/sda', '/dev/../etc/passwd', 'h.csv:2:71: n1: disk "/dev/../etc/passwd" is not the path of a disk'],
  ['/dev/sda', '/dev/sda/dev/sdb', 'h.csv:2:71: n1: disk "/dev/sda/dev/sdb" is not the path of a disk'],
  ['/dev/sda', '', 'h.csv:2:71: n1: disk is empty'],
  ['/dev/sda,,,', '/dev/sda,10.0.0.9,root,', 'h.csv:2:80: n1: the BMC is given in part'],
  ['/dev/sda,,,', '/dev/sda,,,pw', 'h.csv:2:80: n1: the BMC is given in part'],
  ['/dev/sda,,,', '/dev/sda,bmc,root,pw', 'h.csv:2:80: n1: bmc_ip "bmc" is not an IP address'],
  [
    '/dev/sda,,,',
    '/dev/sda,10.0.0.11,root,pw',
    'h.csv:2:22: the IP address 10.0.0.11 of Hardware n1 belongs to the BMC of n1 (h.csv:2:80)',
  ],
  [',,,', ',,', 'h.csv:2:1: the row of "n1" has 10 cells and the header 11'],
  ['8.8.8.8', '8.8.8.8,1.1.1.1', 'h.csv:2:1: the row of "n1" has 12 cells and the header 11'],
  ['n1', '"n1', 'h.csv:2:1: a quote opens here and never closes'],
  ['type=cp', '"type"=cp', 'h.csv:2:63: text follows the closing quote of this cell'],
  ['type=cp', 'type="cp"', 'h.csv:2:63: a quote stands inside this cell'],
];

for (const [from, to, expected] of FAULTS) {
  test(`${JSON.stringify(to)} for ${JSON.stringify(from)} is refused at its cell`, () => {
    const { hardware, problems } = load(csv(ROW.replace(from, to)));

    assert.equal(problems.length, 1, problems.join('\n'));
    assert.ok(problems[0]?.startsWith(expected), problems[0]);
    assert.deepEqual(hardware, []);
  });
}

test('a VLAN is a number from 1 to 4094 or empty', () => {
  for (const [vlan, isRight] of [
    ['', true],
    ['1', true],
    ['4094', true],
    ['0', false],
    ['4095', false],
    ['07', false],
    ['x', false],
  ] as const) {
    const { problems } = load(`${HEADER},vlan_id\n${ROW},${vlan}\n`);
    assert.equal(problems.length, isRight ? 0 : 1, vlan);
  }
});

test('the faults of all rows are told, and the columns count characters after text of several bytes', () => {
  const { problems } = load(
    csv(
      ROW.replace('n1', 'nö').replace('/dev/sda', 'sda'),
      ROW.replace('/dev/sda', 'sda'),
      ROW.replace('8.8.8.8', '"8.8.8.8"').replace('type=cp', '='),
    ),
  );

  assert.deepEqual(
    problems.map((line) => line.split(' ', 3).join(' ')),
    [
      'h.csv:2:1: nö: hostname',
      'h.csv:2:71: nö: disk',
      'h.csv:3:4: the MAC',
      'h.csv:3:22: the IP',
      'h.csv:3:71: n1: disk',
      'h.csv:4:1: Hardware n1',
      'h.csv:4:4: the MAC',
      'h.csv:4:22: the IP',
      'h.csv:4:65: n1: labels',
    ],
  );
});

test('what only one machine may have is refused the second time, in any notation', () => {
  const second = ROW.replace('n1', 'n2');
  const { problems } = load(csv(ROW, second.replace('08:00:27:00:00:01', '0800.2700.0001')));

  assert.deepEqual(problems, [
    'h.csv:3:4: the MAC 08:00:27:00:00:01 of Hardware n2 belongs to Hardware n1 (h.csv:2:4): each needs its own',
    'h.csv:3:19: the IP address 10.0.0.11 of Hardware n2 belongs to Hardware n1 (h.csv:2:22): each needs its own',
  ]);
});

test('host names that differ only late are two machines', () => {
  const long = 'x'.repeat(100);
  const rows = ['1', '2'].map((digit) =>
    ROW.replace('n1', `${long}${digit}`).replace('00:01', `00:0${digit}`).replace('.11', `.1${digit}`),
  );

  const { problems, hardware } = load(csv(...rows));

  assert.deepEqual(problems, []);
  assert.deepEqual(
    hardware.map(({ name }) => name),
    [`${long}1`, `${long}2`],
  );
});

test('two BMCs with one address are refused', () => {
  const rows = ['1', '2'].map((digit) =>
    ROW.replace('n1', `n${digit}`)
      .replace('00:01', `00:0${digit}`)
      .replace('.11', `.1${digit}`)
      .replace(',,,', ',10.0.0.9,root,pw'),
  );

  assert.deepEqual(load(csv(...rows)).problems, [
    'h.csv:3:80: the IP address 10.0.0.9 of the BMC of n2 belongs to the BMC of n1 (h.csv:2:80): each needs its own',
  ]);
});

test('BMC credentials make a warning that never holds the password', () => {
  const other = ROW.replace('n1', 'n2').replace('00:01', '00:02').replace('.11', '.12');
  const { problems, warnings, hardware } = load(csv(ROW.replace(',,,', ',10.0.0.9,root,s3cret'), other));

  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, [
    'h.csv:2:1: this version keeps no BMC credentials: switch the machines on by hand',
    'h.csv:3:1: some machines have a BMC and some have none (n2): EKS Anywhere does not allow the mix',
  ]);
  assert.ok(!JSON.stringify({ hardware, warnings }).includes('s3cret'));
});

test('a password is in no problem, whatever is wrong with its row', () => {
  const bad = csv(ROW.replace(',,,', ',bmc,,s3cret'), ROW.replace(',,,', ',1.2.3.4,root,s3cret,'), `${ROW}"s3cret`);
  const { problems } = load(bad);

  assert.ok(problems.length >= 3);
  assert.ok(!problems.join('\n').includes('s3cret'), problems.join('\n'));
});

test('spaces around a value are ignored with a warning', () => {
  const { hardware, problems, warnings } = load(csv(ROW.replace('10.0.0.11', ' 10.0.0.11 ')));

  assert.deepEqual(problems, []);
  assert.equal(hardware[0]?.spec.interfaces[0]?.dhcp?.ip?.address, '10.0.0.11');
  assert.match(warnings[0] ?? '', /^h\.csv:2:22: spaces around the ip_address "10\.0\.0\.11" are ignored/);
});

test('a CSV from standard input is known by its header', () => {
  assert.equal(load(csv(ROW), '-').hardware.length, 1);
  assert.equal(load(`\n\n${csv(ROW)}`, 'machines').hardware.length, 1);
});

test('an empty file and a lone header hold no machine and no problem', () => {
  for (const text of ['', '\n\n', HEADER, csv()])
    assert.deepEqual(load(text), { hardware: [], problems: [], warnings: [] });
});
