import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import { loadManifests } from './load-manifests.ts';

const FIXTURES = new URL('../../test/fixtures/eksa-example/', import.meta.url);

function load(text: string, name = 'm.yaml') {
  const loaded = loadManifests([{ name, text }]);
  return { ...loaded, problems: describeProblems(loaded.problems), warnings: describeProblems(loaded.warnings) };
}

const HARDWARE = `apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata:
  name: n1
  labels:
    type: cp
spec:
  disks:
    - device: /dev/sda
  interfaces:
    - dhcp:
        mac: 08:00:27:00:00:01
        ip:
          address: 10.0.0.11
          netmask: 255.255.255.0
          gateway: 10.0.0.1
`;

test('the published cluster file is read, and what EKS Anywhere would not take today is named', () => {
  const loaded = load(readFileSync(new URL('cluster.yaml', FIXTURES), 'utf8'), 'cluster.yaml');

  assert.deepEqual(loaded.problems, []);
  assert.deepEqual(
    loaded.templates.map(({ value }) => [value.name, value.source]),
    [
      ['tmpl1', 'TinkerbellTemplateConfig'],
      ['tmpl2', 'TinkerbellTemplateConfig'],
    ],
  );
  const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJj8n3rtNnHkfJ7rZ5l6wTzq2pVQ1xv0mJ8yJtJq9K3b admin@example';
  const common = {
    osFamily: 'bottlerocket',
    users: [{ name: 'ec2-user', sshAuthorizedKeys: [key] }],
    ntpServers: [],
    certBundles: [],
  };
  assert.deepEqual(
    loaded.machineConfigs.map(({ value }) => value),
    [
      { ...common, name: 'mc1', hardwareSelector: { type: 'cp' }, templateRef: 'tmpl1' },
      { ...common, name: 'mc2', hardwareSelector: { type: 'dp' }, templateRef: 'tmpl2' },
    ],
  );
  assert.deepEqual(
    loaded.datacenters.map(({ value }) => value),
    [{ name: 'mgmt', tinkerbellIP: '192.168.10.64' }],
  );
  const [cluster] = loaded.clusters.map(({ value }) => value);
  assert.equal(cluster?.kubernetesVersion, '1.26');
  assert.equal(cluster?.controlPlane.endpointHost, '192.168.10.41');
  assert.deepEqual(
    cluster?.workerGroups.map(({ name, count, machineConfig }) => [name, count, machineConfig]),
    [['md-0', 1, 'mc2']],
  );
  assert.deepEqual(loaded.warnings, [
    'cluster.yaml:6:22: spec.kubernetesVersion 1.26 is outside 1.30 to 1.36, which EKS Anywhere supports today: bring images of your own',
    'cluster.yaml:17:12: spec.controlPlaneConfiguration.count is 1, which does not survive the loss of its machine: EKS Anywhere recommends 3 or 5',
  ]);
});

test('a full Hardware is kept as it is, with its MACs in lower case', () => {
  const text = `# from a cluster
apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata: {name: n1, namespace: tink, uid: abc, annotations: {a/b: "1"}}
spec:
  agentID: agent-1
  auto: {enrollmentEnabled: true}
  bmcRef: {apiGroup: bmc.tinkerbell.org, kind: Machine, name: bmc-n1}
  interfaces:
    - netboot: {allowPXE: true, osie: {kernelParams: [console=ttyS0]}, ipxe: {url: http://x/a.ipxe}}
      disableDhcp: false
      dhcp: {mac: 0800.27AC.C977, lease_time: 4294967294, uefi: true, vlan_id: "7", name_servers: [8.8.8.8, "2001:db8::1"]}
    - dhcp: {mac: 08:00:27:AC:C9:78, ip: {address: "fd00::2", netmask: "ffff::", family: 6}}
  metadata: {instance: {id: x, tags: [a, 1, true, null]}}
  references: {other: {name: n2, resource: hardware}}
  userData: |
    #cloud-config
status: {state: ready}
`;
  const { hardware, problems, warnings } = load(text);

  assert.deepEqual([problems, warnings], [[], []]);
  const [located] = hardware;
  assert.equal(located?.value.spec.interfaces[0]?.dhcp?.mac, '08:00:27:ac:c9:77');
  assert.deepEqual(located?.value.annotations, { 'a/b': '1' });
  assert.deepEqual(located?.value.spec.metadata, { instance: { id: 'x', tags: ['a', 1, true, null] } });
  assert.equal(located?.value.spec.userData, '#cloud-config\n');
  assert.ok(!('status' in (located?.value ?? {})));
  assert.deepEqual(located?.at, { file: 'm.yaml', line: 4, column: 18 });
});

/** One change of the good Hardware, and the one problem that it makes. */
const FAULTS: readonly [from: string, to: string, expected: string][] = [
  ['  disks:', '  disk:', 'm.yaml:8:3: spec.disk is not a known field (did you mean disks?)'],
  [
    'netmask',
    'netmsk',
    'm.yaml:14:11: spec.interfaces[0].dhcp.ip.netmask is missing: add it|m.yaml:15:11: spec.interfaces[0].dhcp.ip.netmsk is not a known field (did you mean netmask?)',
  ],
  ['name: n1', 'name: N1', 'm.yaml:4:9: metadata.name "N1" has upper-case letters: write n1'],
  ['name: n1', 'name: 1', 'm.yaml:4:9: metadata.name is the number 1: write it in quotes, "1"'],
  ['  name: n1\n', '', 'm.yaml:4:3: metadata.name is missing: add it'],
  ['type: cp', 'type: [cp]', 'm.yaml:6:11: metadata.labels.type is a list: write a text'],
  ['type: cp', 'type: true', 'm.yaml:6:11: metadata.labels.type is the boolean true: write it in quotes, "true"'],
  ['type: cp', '"a b": cp', 'm.yaml:6:5: metadata.labels: the key "a b" is not a label key'],
  ['type: cp', 'type: -', 'm.yaml:6:11:'],
  [
    '08:00:27:00:00:01',
    '08:00:27:00:00',
    'm.yaml:12:14: spec.interfaces[0].dhcp.mac "08:00:27:00:00" is not a MAC address',
  ],
  ['08:00:27:00:00:01', '', 'm.yaml:12:14: spec.interfaces[0].dhcp.mac is missing: add it'],
  [
    '10.0.0.11',
    '10.0.1.11',
    'm.yaml:14:20: spec.interfaces[0].dhcp.ip.address 10.0.1.11 is outside the gateway’s subnet',
  ],
  ['255.255.255.0', '255.0.255.0', 'm.yaml:15:20: spec.interfaces[0].dhcp.ip.netmask 255.0.255.0 has holes'],
  ['/dev/sda', 'sda', 'm.yaml:9:15: spec.disks[0].device "sda" is not the path of a disk'],
  ['    - device: /dev/sda', '    device: /dev/sda', 'm.yaml:9:5: spec.disks is a map: write a list'],
  [
    '        ip:',
    '        lease_time: -1\n        ip:',
    'm.yaml:13:21: spec.interfaces[0].dhcp.lease_time is -1: write a whole number from 0 to 4294967295',
  ],
  [
    '        ip:',
    '        lease_time: 1.5\n        ip:',
    'm.yaml:13:21: spec.interfaces[0].dhcp.lease_time is 1.5: write a whole number',
  ],
  [
    '        ip:',
    '        lease_time: "60"\n        ip:',
    'm.yaml:13:21: spec.interfaces[0].dhcp.lease_time is the text "60": write a whole number, without quotes',
  ],
  [
    '        ip:',
    '        uefi: yes\n        ip:',
    'm.yaml:13:15: spec.interfaces[0].dhcp.uefi is the text "yes": write true or false',
  ],
  [
    '        ip:',
    '        vlan_id: "4095"\n        ip:',
    'm.yaml:13:18: spec.interfaces[0].dhcp.vlan_id "4095" is not a VLAN',
  ],
  [
    '        ip:',
    '        name_servers: [dns]\n        ip:',
    'm.yaml:13:24: spec.interfaces[0].dhcp.name_servers[0] "dns" is not an IP address',
  ],
  ['spec:', 'spec:\n  userData: 12345', 'm.yaml:8:13: spec.userData is a number: write a text, in quotes'],
  ['spec:', 'spec:\n  disks: []', 'm.yaml:9:3: the key "disks" is there twice (first in line 8): remove one'],
  ['spec:', 'spec:\n  metadata: {a: .nan}', 'm.yaml:8:17: spec.metadata.a is the number .nan: write a text, a number'],
  ['spec:', 'spec:\n  ? [a]\n  : b', 'm.yaml:8:5: a key is not plain text'],
  [
    'spec:',
    'spec:\n\tdisks: []',
    'm.yaml:8:1: not valid YAML: Tabs are not allowed as indentation: indent with spaces',
  ],
  ['spec:', 'spec:\n  userData: "a', 'm.yaml:18:1: not valid YAML: Missing closing "quote'],
  ['spec:', 'spec:\n  userData: !!python/object x', 'm.yaml:8:13: not valid YAML: Unresolved tag'],
  ['spec:', 'spec:\n  userData: *nothing', 'm.yaml:8:13: the alias *nothing has no anchor before it'],
  ['spec:', 'spec: &a\n  metadata: *a', 'm.yaml:8:13: the alias *a stands inside its own anchor'],
  [
    'kind: Hardware',
    'kind: Hardwear',
    'm.yaml:2:7: the kind "Hardwear" is not known (did you mean Hardware?): there are Hardware, Template',
  ],
  ['kind: Hardware\n', '', 'm.yaml:1:1: kind is missing: add it, for example kind: Hardware'],
  [
    'tinkerbell.org/v1alpha1',
    'tinkerbell.org/v1alpha2',
    'm.yaml:1:13: Hardware has the apiVersion "tinkerbell.org/v1alpha2": write tinkerbell.org/v1alpha1',
  ],
];

for (const [from, to, expected] of FAULTS) {
  test(`${JSON.stringify(to)} for ${JSON.stringify(from)} is refused at its place`, () => {
    const { problems, hardware } = load(HARDWARE.replace(from, to));

    const starts = expected.split('|');
    assert.equal(problems.length, starts.length, problems.join('\n'));
    for (const [index, start] of starts.entries()) assert.ok(problems[index]?.startsWith(start), problems[index]);
    assert.ok(hardware.length === 0 || from === 'spec:');
  });
}

test('a fault that several readers meet is told once', () => {
  assert.deepEqual(load(`<<: 5\n${HARDWARE}`).problems, [
    'm.yaml:1:5: the merge key "<<" needs a map, or a list of maps',
  ]);
});

test('every fault of every document of every file is told', () => {
  const { problems } = loadManifests([
    { name: 'a.yaml', text: `${HARDWARE.replace('/dev/sda', 'x').replace('n1', 'N')}---\nkind: [\n---\nfoo: 1\n` },
    { name: 'b.yml', text: HARDWARE.replace('00:01', '0') },
  ]);

  assert.deepEqual(
    describeProblems(problems).map((line) => line.split(' ', 2).join(' ')),
    [
      'a.yaml:4:9: metadata.name',
      'a.yaml:9:15: spec.disks[0].device',
      'a.yaml:19:1: not',
      'a.yaml:20:1: apiVersion',
      'a.yaml:20:1: kind',
      'b.yml:12:14: spec.interfaces[0].dhcp.mac',
    ],
  );
});

test('byte order mark, CRLF, comments and empty documents change nothing', () => {
  const text = `\uFEFF---\n# nothing\n---\n${HARDWARE}---\n\n...\n`.replaceAll('\n', '\r\n');
  const { hardware, problems } = load(text);

  assert.deepEqual(problems, []);
  assert.deepEqual(hardware[0]?.value, load(HARDWARE).hardware[0]?.value);
  assert.equal(hardware[0]?.at.line, 7);
});

test('JSON, a Kubernetes List, anchors and merge keys are read', () => {
  const value = load(HARDWARE).hardware[0]?.value;
  const plain = {
    apiVersion: 'tinkerbell.org/v1alpha1',
    kind: 'Hardware',
    metadata: { name: 'n1', labels: { type: 'cp' } },
    spec: value?.spec,
  };
  const merged = HARDWARE.replace('        ip:', '        ip: &ip').replace(
    /$/,
    '    - dhcp: {mac: "08:00:27:00:00:02", ip: {<<: *ip, address: 10.0.0.12}}\n',
  );

  assert.deepEqual(load(JSON.stringify(plain), 'm.json').hardware[0]?.value, value);
  assert.deepEqual(load(JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [plain] })).hardware[0]?.value, value);
  const { problems, hardware } = load(merged);
  assert.deepEqual(problems, []);
  assert.deepEqual(hardware[0]?.value.spec.interfaces[1]?.dhcp?.ip, {
    address: '10.0.0.12',
    netmask: '255.255.255.0',
    gateway: '10.0.0.1',
  });
});

test('an octal-looking or yes-looking value is what is written (YAML 1.2), even after a %YAML 1.1 line', () => {
  const text = `%YAML 1.1\n---\n${HARDWARE.replace('type: cp', 'type: "0644"').replace('labels:', 'annotations: {mode: 0644, on: yes}\n  labels:')}`;

  const { hardware, problems } = load(text);

  assert.deepEqual(problems, []);
  assert.deepEqual(hardware[0]?.value.annotations, { mode: '0644', on: 'yes' });
});

test('names, MACs and addresses that two manifests claim are refused with the place of the first', () => {
  const other = HARDWARE.replace('n1', 'n2');
  const { problems } = loadManifests([
    { name: 'a.yaml', text: HARDWARE },
    { name: 'b.yaml', text: `${HARDWARE}---\n${other.replace('10.0.0.11', '10.0.0.12')}` },
  ]);

  assert.deepEqual(describeProblems(problems), [
    'b.yaml:4:9: Hardware n1 is there twice (first at a.yaml:4:9): rename or remove one',
    'b.yaml:29:14: the MAC 08:00:27:00:00:01 of Hardware n2 belongs to Hardware n1 (a.yaml:12:14): each needs its own',
  ]);
});

test('a machine may not have the address of the cluster’s endpoint or of Tinkerbell', () => {
  const cluster = readFileSync(new URL('cluster.yaml', FIXTURES), 'utf8');
  const csv = readFileSync(new URL('hardware-fixed.csv', FIXTURES), 'utf8');
  const files = [
    { name: 'c.yaml', text: cluster },
    { name: 'h.csv', text: csv.replace('192.168.10.179', '192.168.10.41').replace('192.168.10.31', '192.168.10.64') },
  ];

  assert.deepEqual(describeProblems(loadManifests(files).problems), [
    'c.yaml:19:13: the IP address 192.168.10.41 of the control plane endpoint of Cluster mgmt belongs to Hardware eksabmhp1-cp-n-1 (h.csv:2:36): each needs its own',
    'c.yaml:40:17: the IP address 192.168.10.64 of the tinkerbellIP belongs to Hardware eksabmhp1-dp-n-1 (h.csv:3:36): each needs its own',
  ]);
});

test('a machine without any identity is refused', () => {
  const { problems } = load(
    'apiVersion: tinkerbell.org/v1alpha1\nkind: Hardware\nmetadata: {name: n1}\nspec: {disks: []}\n',
  );

  assert.deepEqual(problems, [
    'm.yaml:1:1: the machine has no identity: add spec.interfaces[0].dhcp.mac, or spec.agentID',
  ]);
});

const CONFIG = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellMachineConfig
metadata: {name: mc}
spec:
`;

test('a machine config has one label, or an affinity, and not both', () => {
  const cases: readonly [spec: string, expected: string | undefined][] = [
    ['  hardwareSelector: {type: cp}', undefined],
    ['  hardwareAffinity: {required: [{labelSelector: {matchLabels: {type: cp}}}]}', undefined],
    ['  hardwareSelector: {type: cp, rack: a}', 'm.yaml:5:21: spec.hardwareSelector has 2 labels'],
    ['  hardwareSelector: {}', 'm.yaml:5:21: spec.hardwareSelector has 0 labels'],
    ['  osFamily: ubuntu', 'm.yaml:5:3: spec.hardwareSelector is missing'],
    ['  hardwareAffinity: {required: [{}]}', 'm.yaml:5:33: spec.hardwareAffinity.required[0] has no condition'],
    ['  hardwareAffinity: {required: []}', 'm.yaml:5:21: spec.hardwareAffinity.required is empty'],
    [
      '  hardwareSelector: {a: b}\n  hardwareAffinity: {required: [{labelSelector: {matchLabels: {a: b}}}]}',
      'm.yaml:6:21: spec.hardwareAffinity and spec.hardwareSelector exclude each other',
    ],
    [
      '  hardwareSelector: {a: b}\n  osFamily: ubunut',
      'm.yaml:6:13: spec.osFamily "ubunut" is not one of ubuntu, redhat, bottlerocket (did you mean ubuntu?)',
    ],
    [
      '  hardwareSelector: {a: b}\n  templateRef: {kind: Template, name: x}',
      'm.yaml:6:23: spec.templateRef.kind "Template" is not one of TinkerbellTemplateConfig',
    ],
  ];
  for (const [spec, expected] of cases) {
    const { problems } = load(`${CONFIG}${spec}\n`);
    assert.equal(problems.length, expected === undefined ? 0 : 1, problems.join('\n'));
    assert.ok(problems[0] === undefined || problems[0].startsWith(expected ?? ''), problems[0]);
  }
});

test('kinds that other controllers act on are accepted and named', () => {
  const kinds = ['OIDCConfig', 'AWSIamConfig', 'FluxConfig', 'GitOpsConfig'];
  const text = kinds.map(
    (kind) => `apiVersion: anywhere.eks.amazonaws.com/v1alpha1\nkind: ${kind}\nmetadata: {name: x}\nspec: {a: [b]}\n`,
  );
  const { problems, warnings } = load(text.join('---\n'));

  assert.deepEqual(problems, []);
  assert.deepEqual(
    warnings,
    kinds.map((kind, index) => `m.yaml:${1 + index * 5}:1: ${kind} x is not a provisioner’s work and is not stored`),
  );
});

test('a typing error in a kind that is not stored is found, and a Secret’s values are in no message', () => {
  const secret =
    'apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: [hunter2], username: 77777}\nstrData: hunter2\n';
  const datacenter = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellDatacenterConfig
metadata: {name: d}
spec: {tinkerbellIp: 10.0.0.2}
`;
  const { problems } = load(`${secret}---\n${datacenter}`);

  assert.deepEqual(problems, [
    'm.yaml:4:24: stringData.password is a list: write a text, in quotes',
    'm.yaml:4:45: stringData.username is a number: write a text, in quotes',
    'm.yaml:5:1: strData is not a known field: the fields are apiVersion, kind, metadata, status, type, immutable, data, stringData',
    'm.yaml:10:7: spec.tinkerbellIP is missing: add it',
    'm.yaml:10:8: spec.tinkerbellIp is not a known field (did you mean tinkerbellIP?)',
  ]);
});

function workflow(spec: string): string {
  return `apiVersion: tinkerbell.org/v1alpha1\nkind: Workflow\nmetadata: {name: w}\nspec:\n${spec}\n`;
}

test('a workflow names its template and at most one way to its machine', () => {
  const { workflows, warnings } = load(
    workflow(
      '  templateRef: t\n  hardwareMap: {device_1: 1, a: b}\n  bootOptions: {bootMode: iso, toggleAllowNetboot: true}',
    ),
  );

  assert.deepEqual(workflows[0]?.value.spec, {
    templateRef: 't',
    hardwareMap: { device_1: '1', a: 'b' },
    bootOptions: { bootMode: 'iso', toggleAllowNetboot: true },
  });
  assert.deepEqual(warnings, [
    'm.yaml:7:27: spec.bootOptions.bootMode iso is accepted and not done in this version: start the machine from the network',
  ]);
  assert.deepEqual(load(workflow('  templateRef: t\n  hardwareRef: a\n  hardwareSelector: {a: b}')).problems, [
    'm.yaml:1:1: spec.hardwareRef and spec.hardwareSelector exclude each other: remove one',
  ]);
  assert.deepEqual(load(workflow('  templateRef: t\n  hardwareSelector: {}')).problems, [
    'm.yaml:1:1: spec.hardwareSelector is empty and would match any machine: add a label',
  ]);
  assert.deepEqual(load(workflow('  templateRef: ""')).problems, [
    'm.yaml:5:16: spec.templateRef "" is empty: write the name of an object',
  ]);
});

test('what is no text, too large or no manifest is refused as a whole', () => {
  const refusals: readonly [text: string, expected: RegExp][] = [
    ['a\0b', /^m\.yaml: the file is not UTF-8 text/],
    [Buffer.from([0xff, 0xfe, 0x61]).toString('utf8'), /^m\.yaml: the file is not UTF-8 text/],
    ['x'.repeat(4 * 1024 * 1024 + 1), /^m\.yaml: the file has 4194305 bytes: at most 4194304/],
    ['hello', /^m\.yaml:1:1: the document is no manifest/],
    ['[1, 2]', /^m\.yaml:1:1: the document is no manifest/],
  ];
  for (const [text, expected] of refusals) {
    const { problems } = load(text);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? '', expected);
  }
});
