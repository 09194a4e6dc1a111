import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import type { HardwareManifest } from './hardware-kind.ts';
import { renderWorkflow } from './render-workflow.ts';

const HARDWARE: HardwareManifest = {
  name: 'n1',
  labels: { type: 'cp' },
  annotations: {},
  spec: {
    disks: [{ device: '/dev/nvme0n1' }],
    interfaces: [
      {
        dhcp: {
          mac: '08:00:27:00:00:01',
          ip: { address: '10.0.0.11', netmask: '255.255.255.0', gateway: '10.0.0.1', family: 4 },
          name_servers: ['8.8.8.8', '1.1.1.1'],
          lease_time: 4_294_967_294,
        },
      },
    ],
    metadata: { instance: { id: 'i-1', ips: [{ address: '10.0.0.11' }] }, facility: { plan_slug: 'p' } },
    references: {
      friend: { name: 'n2', resource: 'hardware' },
      stranger: { name: 'x', resource: 'hardware' },
      secret: { name: 'n2', resource: 'secrets' },
    },
    userData: '#cloud-config\nchpasswd: hunter2-very-long',
  },
};

const FRIEND: HardwareManifest = {
  name: 'n2',
  labels: {},
  annotations: {},
  spec: { disks: [{ device: '/dev/sdb' }], interfaces: [], userData: 'not yours' },
};

function render(data: string, change: Partial<Parameters<typeof renderWorkflow>[0]> = {}) {
  const result = renderWorkflow(
    {
      workflow: 'w',
      template: { name: 't', labels: {}, annotations: {}, data, source: 'Template' },
      hardware: HARDWARE,
      isUserDataKnown: true,
      bindings: { device_1: '08:00:27:00:00:01' },
      findHardware: (name) => (name === 'n2' ? FRIEND : undefined),
      resolveWorker: (identity) =>
        identity.toLowerCase().replaceAll('-', ':') === '08:00:27:00:00:01' ? 'n1' : undefined,
      ...change,
    },
    { actionTimeoutMs: 3_600_000 },
  );
  return { ...result, problems: describeProblems(result.problems), warnings: describeProblems(result.warnings) };
}

const HEAD = 'name: t\ntasks:\n- name: os\n  worker: "{{ .device_1 }}"\n  actions:\n';
const IMAGE = '  - {name: image, image: image2disk, environment: {IMG_URL: "http://x/a", DEST_DISK: /dev/sda}}\n';

/** What a template makes of an expression: it is put into a variable that no action reads. */
function evaluate(expression: string, change: Parameters<typeof render>[1] = {}): string | undefined {
  const { rendered, problems } = render(`${HEAD}${IMAGE.replace('IMG_URL', `X: '${expression}', IMG_URL`)}`, change);
  return rendered === undefined ? problems.join('\n') : rendered.tasks[0]?.actions[0]?.environment['X'];
}

test('times become milliseconds, defaults are applied, the action’s environment covers the task’s', () => {
  const { rendered, hardware, problems } = render(`version: 0.1
name: t
global_timeout: 6000
tasks:
- name: os
  worker: 08-00-27-00-00-01
  volumes: [/dev:/dev]
  environment: {DEST_DISK: /dev/sdz, EXTRA: 1}
  actions:
  - name: image
    image: quay.io/tinkerbell/actions/image2disk:latest
    timeout: 600
    retries: 2
    pid: host
    namespaces: {network: host}
    environment: {IMG_URL: "http://x/a", DEST_DISK: /dev/sda, MODE: 0644, ON: true, NONE: }
  - name: down
    image: reboot
    timeout: 0
    command: [a, 2]
`);

  assert.deepEqual(problems, []);
  assert.deepEqual(hardware, ['n1']);
  assert.deepEqual(rendered, {
    name: 't',
    globalTimeoutMs: 6_000_000,
    tasks: [
      {
        name: 'os',
        worker: '08-00-27-00-00-01',
        actions: [
          {
            name: 'image',
            image: 'quay.io/tinkerbell/actions/image2disk:latest',
            timeoutMs: 600_000,
            environment: {
              DEST_DISK: '/dev/sda',
              EXTRA: '1',
              IMG_URL: 'http://x/a',
              MODE: '0644',
              ON: 'true',
              NONE: '',
            },
            command: [],
            retries: 2,
          },
          {
            name: 'down',
            image: 'reboot',
            timeoutMs: 3_600_000,
            environment: { DEST_DISK: '/dev/sdz', EXTRA: '1' },
            command: ['a', '2'],
            retries: 0,
          },
        ],
      },
    ],
  });
});

test('a machine is seen by Go field names, by JSON names and as a whole object', () => {
  const cases: readonly [expression: string, expected: string][] = [
    ['{{ index .Hardware.Disks 0 }}', '/dev/nvme0n1'],
    ['{{ formatPartition ( index .Hardware.Disks 0 ) 12 }}', '/dev/nvme0n1p12'],
    ['{{ (index .Hardware.Interfaces 0).DHCP.MAC }}', '08:00:27:00:00:01'],
    ['{{ (index .Hardware.Interfaces 0).dhcp.mac }}', '08:00:27:00:00:01'],
    ['{{ (index .Hardware.Interfaces 0).DHCP.IP.Address }}', '10.0.0.11'],
    ['{{ netmaskToPrefixLength (index .Hardware.Interfaces 0).DHCP.IP.Netmask }}', '24'],
    [
      '{{ range $i, $ns := (index .Hardware.Interfaces 0).DHCP.NameServers }}{{ if $i }},{{ end }}{{ $ns }}{{ end }}',
      '8.8.8.8,1.1.1.1',
    ],
    ['{{ (index .Hardware.Interfaces 0).DHCP.LeaseTime }}', '4294967294'],
    ['{{ if (index .Hardware.Interfaces 0).DHCP.VLANID }}vlan{{ else }}none{{ end }}', 'none'],
    ['{{ (index .Hardware.Interfaces 0).DHCP.UEFI }}', 'false'],
    ['{{ .Hardware.Metadata.Instance.ID }}', 'i-1'],
    ['{{ (index .Hardware.Metadata.Instance.Ips 0).Address }}', '10.0.0.11'],
    ['{{ .Hardware.Metadata.Facility.PlanSlug }}', 'p'],
    ['{{ .hardware.metadata.name }}', 'n1'],
    ['{{ (index .hardware.spec.disks 0).device }}', '/dev/nvme0n1'],
    ['{{ (index .references.friend.spec.disks 0).device }}', '/dev/sdb'],
    ['{{ .Hardware.UserData | splitList "\\n" | first }}', '#cloud-config'],
  ];
  for (const [expression, expected] of cases) assert.equal(evaluate(expression), expected, expression);
});

test('what a machine does not have is an error that names it', () => {
  for (const expression of [
    '{{ .device_2 }}',
    '{{ .Hardware.Nope }}',
    '{{ .references.stranger }}',
    '{{ .references.secret }}',
    '{{ .constructor }}',
    '{{ .hardware.spec.interfaces.__proto__ }}',
    '{{ .references.friend.spec.userData }}',
    '{{ (index .Hardware.Interfaces 0).Netboot.AllowPXE }}',
  ]) {
    assert.match(
      evaluate(expression) ?? '',
      /^Template t for Workflow w:4?\d*:?\d*:? ?.*cannot render it: /,
      expression,
    );
  }
});

test('user data that is only in the store cannot be rendered into a workflow', () => {
  const { userData: _, ...spec } = HARDWARE.spec;

  assert.match(
    evaluate('{{ .Hardware.UserData }}', { hardware: { ...HARDWARE, spec }, isUserDataKnown: false }) ?? '',
    /UserData/,
  );
  assert.equal(evaluate('{{ .Hardware.UserData }}', { hardware: { ...HARDWARE, spec }, isUserDataKnown: true }), '');
});

/** One output, and the one problem that it makes. */
const FAULTS: readonly [data: string, expected: string][] = [
  ['', 'Template t for Workflow w, rendered: nothing comes out of it'],
  ['- a', 'Template t for Workflow w, rendered: no task list comes out of it'],
  [
    'name: t\ntasks: []\n',
    'Template t for Workflow w, rendered:2:8: tasks is empty: add at least one task (line 2: "tasks: []")',
  ],
  ['name: t\n', 'Template t for Workflow w, rendered:1:1: tasks is missing: add it (line 1: "name: t")'],
  [`${HEAD}${IMAGE}---\nname: u\n`, 'Template t for Workflow w, rendered: several documents come out of it'],
  [
    HEAD + IMAGE.replace('image2disk', 'mystery'),
    'Template t for Workflow w, rendered:6:26: the action "image": the action image mystery names no built-in action',
  ],
  [
    HEAD + IMAGE.replace('/dev/sda', 'sda'),
    'Template t for Workflow w, rendered:6:75: the action "image" (image2disk): DEST_DISK',
  ],
  [
    HEAD.replace('{{ .device_1 }}', 'aa') + IMAGE,
    'Template t for Workflow w, rendered:4:11: the worker "aa" of the task "os" is no known Hardware: name a machine by its MAC, its name or its agentID (line 4: "worker: \\"aa\\"")',
  ],
  [
    HEAD.replace('"{{ .device_1 }}"', '" "') + IMAGE,
    'Template t for Workflow w, rendered:4:11: tasks[0].worker " " is empty',
  ],
  [
    HEAD + IMAGE.replace('name: image', 'nam: image'),
    'Template t for Workflow w, rendered:6:5: tasks[0].actions[0].name is missing',
  ],
  [`${HEAD}${IMAGE}${IMAGE}`, 'Template t for Workflow w, rendered:7:12: the action name "image" is there twice'],
  ['name: t\n  tasks: x: y', 'Template t for Workflow w, rendered:1:7: not valid YAML'],
];

for (const [data, expected] of FAULTS) {
  test(`the output ${JSON.stringify(data.slice(-60))} is refused at its place in the rendered text`, () => {
    const { rendered, problems } = render(data);

    assert.ok(
      problems.some((line) => line.startsWith(expected)),
      problems.join('\n'),
    );
    assert.equal(rendered, undefined);
  });
}

test('a fault of a variable of the task is shown where the task has it', () => {
  const head = HEAD.replace('  actions:', '  environment: {IMG_URL: "http://x/a", DEST_DISK: sda}\n  actions:');
  const { problems } = render(`${head}  - {name: image, image: image2disk}\n`);

  assert.match(problems.join('\n'), /^Template t for Workflow w, rendered:5:40: the action "image"/);
});

test('a refused line that holds a secret is not quoted', () => {
  const leaky = `${HEAD}  - {name: a, image: writefile, environment: {CONTENTS: '{{ .Hardware.UserData | splitList "\\n" | last }}'}}\n`;
  const password = `${HEAD}  - {name: a, image: nope, environment: {REGISTRY_PASSWORD: topsecret1}}\n`;
  const broken = `${HEAD}  - name: "a" topsecret2-password\n`;

  const proxy = `${HEAD}${IMAGE.replace('DEST_DISK', 'HTTP_PROXY:\n        me:topsecret3%@p\n      , DEST_DISK')}`;

  for (const data of [leaky, password, broken, proxy]) {
    const { problems } = render(data);
    assert.ok(problems.length > 0);
    assert.match(problems[0] ?? '', /not shown, it may hold a secret/);
    assert.ok(!/hunter2|topsecret/.test(problems.join('\n')), problems.join('\n'));
  }
});

test('a template that never ends or grows without bound is refused in bounded time', () => {
  const endless = '{{ range until 100000 }}{{ range until 100000 }}x{{ end }}{{ end }}';
  const before = process.cpuUsage();

  assert.match(render(endless).problems[0] ?? '', /cannot render it/);
  assert.match(render('{{ if true }}'.repeat(5000)).problems[0] ?? '', /cannot render it/);
  assert.ok(process.cpuUsage(before).user < 10_000_000);
});
