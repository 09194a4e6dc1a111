import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Hardware, Workflow } from '../store/store.ts';
import { describeProblems } from './describe-problems.ts';
import type { HardwareManifest } from './hardware-kind.ts';
import { loadManifests } from './load-manifests.ts';
import { type KnownRecords, planApply } from './plan-apply.ts';

const NOTHING: KnownRecords = { hardware: [], templates: [], workflows: [] };

function plan(files: Readonly<Record<string, string>>, known: Partial<KnownRecords> = {}) {
  const loaded = loadManifests(Object.entries(files).map(([name, text]) => ({ name, text })));
  const planned = planApply(loaded, { ...NOTHING, ...known }, { actionTimeoutMs: 1000 });
  return {
    reading: describeProblems(loaded.problems),
    problems: describeProblems(planned.problems),
    warnings: describeProblems(planned.warnings),
    change: planned.change,
    chosen: planned.change.workflows.map(({ manifest, hardware, chosen }) => [manifest.name, hardware, chosen]),
  };
}

function hardware(name: string, number: number, labels: Record<string, string> = {}): HardwareManifest {
  const mac = `08:00:27:00:00:${String(number).padStart(2, '0')}`;
  const ip = { address: `10.0.0.${number}`, netmask: '255.255.255.0' };
  return {
    name,
    labels,
    annotations: {},
    spec: { disks: [{ device: '/dev/sda' }], interfaces: [{ dhcp: { mac, ip } }] },
  };
}

function asYaml(...machines: readonly HardwareManifest[]): string {
  const documents = machines.map(({ name, labels, spec }) =>
    JSON.stringify({ apiVersion: 'tinkerbell.org/v1alpha1', kind: 'Hardware', metadata: { name, labels }, spec }),
  );
  return documents.join('\n---\n');
}

function stored(manifest: HardwareManifest, change: Partial<Hardware> = {}): Hardware {
  const at = new Date(0);
  return {
    ...manifest,
    version: 1,
    createdAt: at,
    stage: 'discovered',
    stageAt: at,
    netboot: true,
    hasUserData: false,
    ...change,
  };
}

function storedWorkflow(name: string, machine: string, state: Workflow['state']): Workflow {
  const at = new Date(0);
  const spec = { templateRef: 't', hardwareSelector: { type: 'cp' }, hardwareMap: {} };
  const rendered = { name: 'old', tasks: [] };
  const run = { queueOrder: 1, attempt: 1, attemptsOfRun: 1, task: 0, actions: [] };
  return {
    name,
    labels: {},
    annotations: {},
    spec,
    version: 1,
    createdAt: at,
    state,
    stateAt: at,
    hardware: [machine],
    rendered,
    ...run,
  };
}

const TEMPLATE = `apiVersion: tinkerbell.org/v1alpha1
kind: Template
metadata: {name: t}
spec:
  data: |
    name: t
    tasks:
    - name: os
      worker: "{{ .device_1 }}"
      actions:
      - {name: down, image: reboot, environment: {DISK: "{{ index .Hardware.Disks 0 }}"}}
`;

function workflow(name: string, spec: string): string {
  return `---\napiVersion: tinkerbell.org/v1alpha1\nkind: Workflow\nmetadata: {name: ${name}}\nspec:\n  templateRef: t\n  ${spec}\n`;
}

test('a machine is found by name, by MAC in any notation and by agentID', () => {
  const machine = hardware('n1', 1);
  const named = { ...machine, spec: { ...machine.spec, agentID: 'agent-1' } };
  const ways = [
    'hardwareRef: n1',
    'hardwareMap: {device_1: n1}',
    'hardwareMap: {device_1: 0800.2700.0001}',
    'hardwareMap: {device_1: agent-1}',
    'hardwareMap: {device_1: " 08-00-27-00-00-01 "}',
  ];
  for (const way of ways) {
    const { problems, chosen } = plan({ 'a.yaml': asYaml(named), 't.yaml': TEMPLATE + workflow('w', way) });
    assert.deepEqual(problems, [], way);
    assert.deepEqual(chosen, [['w', ['n1'], false]], way);
  }
});

test('references that lead nowhere are refused at their place, with what exists', () => {
  const cases: readonly [spec: string, expected: string][] = [
    ['hardwareRef: n11', 't.yaml:18:16: there is no Hardware "n11" (did you mean n1?)'],
    ['hardwareRef: zzzzzz', 't.yaml:18:16: there is no Hardware "zzzzzz": there are n1'],
    [
      'hardwareMap: {device_1: "08:00:27:ff:ff:ff"}',
      't.yaml:18:27: spec.hardwareMap.device_1 "08:00:27:ff:ff:ff" is no known Hardware: write the MAC',
    ],
    ['hardwareMap: {a: b}', 't.yaml:15:18: Workflow w names no machine: add hardwareRef'],
    ['disabled: false', 't.yaml:15:18: Workflow w names no machine'],
  ];
  for (const [spec, expected] of cases) {
    const { problems, change } = plan({
      'a.yaml': asYaml(hardware('n1', 1)),
      't.yaml': TEMPLATE + workflow('w', spec),
    });
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.ok(problems[0]?.startsWith(expected), problems[0]);
    assert.deepEqual(change.workflows, []);
  }
  assert.deepEqual(plan({ 'a.yaml': asYaml(hardware('n1', 1)), 'w.yaml': workflow('w', 'hardwareRef: n1') }).problems, [
    'w.yaml:6:16: there is no Template "t": there is no Template yet',
  ]);
});

test('by label the first free machine by name is taken, and no machine twice in one apply', () => {
  const machines = asYaml(
    hardware('c', 3, { type: 'cp' }),
    hardware('b', 2, { type: 'cp' }),
    hardware('a', 1, { type: 'cp' }),
    hardware('d', 4, { type: 'cp' }),
  );
  const select = 'hardwareSelector: {type: cp}';
  const files = {
    'a.yaml': machines,
    't.yaml': TEMPLATE + workflow('w1', select) + workflow('w2', 'hardwareRef: a') + workflow('w3', select),
  };

  const { problems, chosen } = plan(files, {
    hardware: [stored(hardware('d', 4)), stored(hardware('b', 2), { stage: 'retired' })],
  });

  assert.deepEqual(problems, []);
  assert.deepEqual(chosen, [
    ['w1', ['c'], true],
    ['w2', ['a'], false],
    ['w3', ['d'], true],
  ]);
});

test('when every matching machine is busy, each one’s reason is told', () => {
  const labels = { type: 'cp' };
  const { problems } = plan(
    {
      't.yaml':
        TEMPLATE + workflow('w1', 'hardwareSelector: {type: cp}') + workflow('w2', 'hardwareSelector: {type: cp}'),
    },
    {
      hardware: [
        stored(hardware('a', 1, labels)),
        stored(hardware('b', 2, labels), { stage: 'retired' }),
        stored(hardware('c', 3, labels)),
      ],
      workflows: [storedWorkflow('old', 'c', 'waiting'), storedWorkflow('done', 'a', 'failed')],
    },
  );

  assert.deepEqual(problems, [
    't.yaml:25:21: no Hardware with type=cp is free: a is taken by Workflow w1 of this apply, b is retired, c has the unfinished Workflow old: add a machine, or wait or cancel',
  ]);
});

test('a stored workflow keeps its machine and its tasks when it is applied again', () => {
  const before = storedWorkflow('w', 'a', 'running');
  const { problems, change } = plan(
    { 't.yaml': TEMPLATE + workflow('w', 'hardwareSelector: {type: cp}') },
    {
      hardware: [stored(hardware('a', 1, { type: 'cp' })), stored(hardware('b', 2, { type: 'cp' }))],
      workflows: [before],
    },
  );

  assert.deepEqual(problems, []);
  assert.deepEqual(
    change.workflows.map(({ hardware, rendered, chosen }) => ({ hardware, rendered, chosen })),
    [{ hardware: ['a'], rendered: before.rendered, chosen: false }],
  );
  assert.deepEqual(change.workflows[0]?.manifest.spec, before.spec);
});

test('a retired machine cannot be named', () => {
  const { problems } = plan(
    { 't.yaml': TEMPLATE + workflow('w', 'hardwareRef: a') },
    { hardware: [stored(hardware('a', 1), { stage: 'retired' })] },
  );

  assert.deepEqual(problems, ['t.yaml:15:18: Workflow w needs Hardware a, which is retired: restore it first']);
});

test('a MAC or address of a stored machine that is not among the files is refused for another', () => {
  const known = { hardware: [stored(hardware('old', 1)), stored(hardware('same', 2))] };

  assert.deepEqual(plan({ 'a.yaml': asYaml(hardware('new', 1)) }, known).problems, [
    'a.yaml:1:166: the MAC 08:00:27:00:00:01 of Hardware new belongs to the stored Hardware old: correct it, or delete Hardware old first',
    'a.yaml:1:202: the IP address 10.0.0.1 of Hardware new belongs to the stored Hardware old: correct it, or delete Hardware old first',
  ]);
  assert.deepEqual(
    plan({ 'a.yaml': asYaml(hardware('same', 1), hardware('old', 2)) }, known).problems,
    [],
    'two machines swap',
  );
});

test('one mistake in a machine is not told again by what refers to it', () => {
  const broken = asYaml(hardware('n1', 1, { type: 'cp' })).replace('255.255.255.0', '255.0.0.255');
  const files = {
    'a.yaml': broken,
    't.yaml':
      TEMPLATE +
      workflow('w1', 'hardwareRef: n1') +
      workflow('w2', 'hardwareSelector: {type: cp}') +
      workflow('w3', 'hardwareMap: {device_1: n1}'),
  };

  const { reading, problems } = plan(files);

  assert.equal(reading.length, 1);
  assert.deepEqual(problems, []);
});

test('a faulty template is told once and not by the workflows that name it', () => {
  const { reading, problems } = plan({
    'a.yaml': asYaml(hardware('n1', 1)),
    't.yaml': TEMPLATE.replace('{{ .device_1', '{{ nope') + workflow('w', 'hardwareRef: n1'),
  });

  assert.equal(reading.length, 1);
  assert.deepEqual(problems, []);
});

test('a file’s template and hardware replace the stored ones of that name', () => {
  const old = {
    name: 't',
    labels: {},
    annotations: {},
    data: 'nonsense',
    source: 'Template',
    version: 1,
    createdAt: new Date(0),
  } as const;
  const moved = { ...hardware('n1', 1), spec: { ...hardware('n1', 1).spec, disks: [{ device: '/dev/vda' }] } };
  const { problems, change } = plan(
    { 'a.yaml': asYaml(moved), 't.yaml': TEMPLATE + workflow('w', 'hardwareRef: n1') },
    { hardware: [stored(hardware('n1', 1))], templates: [old] },
  );

  assert.deepEqual(problems, []);
  assert.equal(change.workflows[0]?.rendered.tasks[0]?.actions[0]?.environment['DISK'], '/dev/vda');
});

test('tasks on several machines are planned in task order', () => {
  const two = TEMPLATE.replace(
    / {4}- name: os[\s\S]*/,
    (task) => task + task.replace('name: os', 'name: os2').replace('device_1', 'device_2'),
  );
  const { problems, chosen, change } = plan({
    'a.yaml': asYaml(hardware('a', 1), hardware('b', 2)),
    't.yaml': two + workflow('w', 'hardwareMap: {device_1: b, device_2: a}'),
  });

  assert.deepEqual(problems, []);
  assert.deepEqual(chosen, [['w', ['b', 'a'], false]]);
  assert.deepEqual(
    change.workflows[0]?.rendered.tasks.map(({ worker }) => worker),
    ['b', 'a'],
  );
});

test('user data that is stored, and not in the files, is out of a template’s reach', () => {
  const asking =
    TEMPLATE.replace('{{ index .Hardware.Disks 0 }}', '{{ .Hardware.UserData }}') + workflow('w', 'hardwareRef: a');
  const withData = { ...hardware('a', 1), spec: { ...hardware('a', 1).spec, userData: 'mine' } };

  const refused = plan({ 't.yaml': asking }, { hardware: [stored(hardware('a', 1), { hasUserData: true })] });
  const given = plan(
    { 'a.yaml': asYaml(withData), 't.yaml': asking },
    { hardware: [stored(hardware('a', 1), { hasUserData: true })] },
  );

  assert.equal(refused.problems.length, 1);
  assert.match(refused.problems[0] ?? '', /cannot render it: .*UserData/);
  assert.deepEqual(given.problems, []);
  assert.equal(given.change.workflows[0]?.rendered.tasks[0]?.actions[0]?.environment['DISK'], 'mine');
});
