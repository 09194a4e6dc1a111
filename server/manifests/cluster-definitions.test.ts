import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { clusterDefinitions } from './cluster-definitions.ts';
import { describeProblems } from './describe-problems.ts';
import { loadManifests } from './load-manifests.ts';
import type { TemplateManifest } from './template-kind.ts';

const CLUSTER = readFileSync(new URL('../../test/fixtures/eksa-example/cluster.yaml', import.meta.url), 'utf8');

function resolve(text: string, templates: readonly TemplateManifest[] = []) {
  const loaded = loadManifests([{ name: 'c.yaml', text }]);
  const { definitions, problems, warnings } = clusterDefinitions(loaded, { templates });
  return {
    reading: describeProblems(loaded.problems),
    problems: describeProblems(problems),
    warnings: describeProblems(warnings),
    definitions: definitions.map(({ value }) => value),
  };
}

test('a cluster is put together from everything that it refers to', () => {
  const { reading, problems, warnings, definitions } = resolve(CLUSTER);

  assert.deepEqual([reading, problems, warnings], [[], [], []]);
  const [definition] = definitions;
  assert.equal(definition?.cluster.name, 'mgmt');
  assert.equal(definition?.datacenter.tinkerbellIP, '192.168.10.64');
  assert.deepEqual(Object.keys(definition?.machineConfigs ?? {}), ['mc1', 'mc2']);
  assert.deepEqual(Object.keys(definition?.templates ?? {}), ['tmpl1', 'tmpl2']);
});

test('a template that is stored already need not be in the file', () => {
  const documents = CLUSTER.split('---\n');
  const stored = loadManifests([{ name: 'c.yaml', text: CLUSTER }]).templates.map(({ value }) => value);
  const { problems, definitions } = resolve(documents.slice(0, 4).join('---\n'), stored);

  assert.deepEqual(problems, []);
  assert.deepEqual(Object.keys(definitions[0]?.templates ?? {}), ['tmpl1', 'tmpl2']);
});

const REFERENCES: readonly [
  what: string,
  from: string,
  to: string,
  problems: readonly string[],
  warnings?: readonly string[],
][] = [
  [
    'a machine config that is misspelt',
    'name: mc2\n  managementCluster',
    'name: mc22\n  managementCluster',
    ['c.yaml:28:15: there is no TinkerbellMachineConfig "mc22" (did you mean mc2?)'],
    ['c.yaml:61:9: no Cluster of these files refers to TinkerbellMachineConfig mc2'],
  ],
  [
    'a machine config that is nothing like the others',
    'name: mc1\n  workerNode',
    'name: control\n  workerNode',
    ['c.yaml:22:13: there is no TinkerbellMachineConfig "control": there are mc1, mc2'],
    ['c.yaml:45:9: no Cluster of these files refers to TinkerbellMachineConfig mc1'],
  ],
  [
    'a datacenter that is not there',
    '    kind: TinkerbellDatacenterConfig\n    name: mgmt',
    '    kind: TinkerbellDatacenterConfig\n    name: prod',
    ['c.yaml:33:11: there is no TinkerbellDatacenterConfig "prod": there are mgmt'],
    ['c.yaml:38:9: no Cluster of these files refers to TinkerbellDatacenterConfig mgmt'],
  ],
  [
    'a template that is not there, as in the published article',
    'name: tmpl1\n  users',
    'name: tmpl3\n  users',
    ['c.yaml:52:11: there is no TinkerbellTemplateConfig "tmpl3" (did you mean tmpl1?)'],
    ['c.yaml:77:9: no TinkerbellMachineConfig of these files refers to TinkerbellTemplateConfig tmpl1'],
  ],
];

for (const [what, from, to, expected, expectedWarnings = []] of REFERENCES) {
  test(`a reference to ${what} is refused with what exists`, () => {
    const { reading, problems, warnings, definitions } = resolve(CLUSTER.replace(from, to));

    assert.deepEqual(reading, []);
    assert.deepEqual(problems, expected);
    assert.deepEqual(warnings, expectedWarnings);
    assert.deepEqual(definitions, []);
  });
}

test('a reference to a part that was refused is no second mistake, and makes no definition', () => {
  const { reading, problems, warnings, definitions } = resolve(CLUSTER.replace('tinkerbellIP:', 'tinkerbelIP:'));

  assert.equal(reading.length, 2);
  assert.deepEqual([problems, warnings, definitions], [[], [], []]);
});

test('a faulty cluster leaves the parts it refers to without blame', () => {
  const { reading, problems, warnings } = resolve(CLUSTER.replace('count: 1\n    endpoint', 'count: 2\n    endpoint'));

  assert.equal(reading.length, 1);
  assert.deepEqual([problems, warnings], [[], []]);
});

test('faults between objects are told together with those of their shapes', () => {
  // Shape: an even count, an unknown field, a missing one. Between objects: a config and a template that do not exist, two families.
  const text = CLUSTER.replace('count: 1\n    endpoint', 'count: 2\n    endpoint')
    .replace('name: mc1\n  workerNode', 'name: control\n  workerNode')
    .replace('tinkerbellIP:', 'tinkerbelIP:')
    .replace('name: tmpl1\n  users', 'name: tmpl3\n  user')
    .replace(/osFamily: \w+(?![^]*osFamily)/, 'osFamily: redhat');
  const { reading, problems, definitions } = resolve(text);

  assert.equal(reading.length, 4, reading.join('\n'));
  assert.deepEqual(problems, [
    'c.yaml:22:13: there is no TinkerbellMachineConfig "control": there are mc2, mc1',
    'c.yaml:52:11: there is no TinkerbellTemplateConfig "tmpl3" (did you mean tmpl1?)',
  ]);
  assert.deepEqual(definitions, []);
});

test('parts that have faults of their own are held against each other, by what can be read of them', () => {
  const families = CLUSTER.replace('count: 1\n    endpoint', 'count: 2\n    endpoint')
    .replace(/osFamily: \w+(?![^]*osFamily)/, 'osFamily: redhat')
    .replaceAll('  users:', '  user:');
  const { problems, definitions } = resolve(families);

  assert.equal(problems.length, 1, problems.join('\n'));
  assert.match(problems[0] ?? '', /the osFamily of TinkerbellMachineConfig mc2 is redhat and the control plane's is/);
  const unreadable = resolve(families.replace('osFamily: redhat', 'osFamily: rehdat'));
  assert.deepEqual([unreadable.problems, unreadable.definitions], [[], []], 'what cannot be read is not judged again');
  assert.deepEqual(definitions, []);
});

test('a version without quotes is read as it is written', () => {
  const { reading, definitions } = resolve(CLUSTER.replace('"1.26"', '1.30'));

  assert.deepEqual(reading, []);
  assert.equal(definitions[0]?.cluster.kubernetesVersion, '1.30');
});
