import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { faultsOfChange, needsOfChange } from '../cluster/cluster-changes.ts';
import { clusterDefinitions } from './cluster-definitions.ts';
import type { ClusterDefinition } from './cluster-kind.ts';
import { describeProblems } from './describe-problems.ts';
import { hardwareShortfalls } from './hardware-shortfalls.ts';
import { loadManifests } from './load-manifests.ts';
import { planApply } from './plan-apply.ts';

/**
 * The rules of EKS Anywhere on bare metal for the hardware CSV (B), the cluster file (C.1–C.6) and its changes (C.7), one row
 * each: what the rule says, a change of a good input that breaks it, and the sentence at its place. A `warning:` stands where
 * we only warn, and DECISIONS.md says why. The rows are in test/fixtures/eksa-rules.
 */

const FIXTURES = new URL('../../test/fixtures/eksa-rules/', import.meta.url);
const CLUSTER = readFileSync(new URL('cluster.yaml', FIXTURES), 'utf8');
const CSV = readFileSync(new URL('hardware.csv', FIXTURES), 'utf8');

/** What is replaced in the good input, the first match of each. */
type Change = readonly { readonly from: string; readonly to: string }[];

interface Rule {
  readonly section: string;
  readonly rule: string;
  readonly change: Change;
  readonly expected: readonly string[];
}

interface ChangeRule {
  readonly rule: string;
  /** Of the good cluster, before it is changed. */
  readonly before: Change;
  readonly after: Change;
  readonly expected: readonly string[];
}

function rows<T>(name: string): readonly T[] {
  // The tables are ours; a row of another shape fails its test.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
  return parse(readFileSync(new URL(name, FIXTURES), 'utf8')) as readonly T[];
}

const RULES = rows<Rule>('rules.yaml');
const CHANGE_RULES = rows<ChangeRule>('changes.yaml');

function applied(text: string, change: Change): string {
  return change.reduce((changed, { from, to }) => {
    assert.ok(changed.includes(from) || CSV.includes(from) || CLUSTER.includes(from), `nothing to replace: ${from}`);
    return changed.replace(from, () => to);
  }, text);
}

/** All sentences of the two files, problems first. */
function sentences(csv: string, cluster: string): string[] {
  const loaded = loadManifests([
    { name: 'h.csv', text: csv },
    { name: 'c.yaml', text: cluster },
  ]);
  const plan = planApply(loaded, { hardware: [], templates: [], workflows: [] }, { actionTimeoutMs: 1000 });
  return [
    ...describeProblems([...loaded.problems, ...plan.problems]),
    ...describeProblems([...loaded.warnings, ...plan.warnings]).map((line) => `warning: ${line}`),
  ];
}

function definitionOf(text: string): ClusterDefinition {
  const loaded = loadManifests([{ name: 'c.yaml', text }]);
  const { definitions, problems } = clusterDefinitions(loaded, { templates: [] });
  const [definition] = definitions;
  assert.ok(definition, describeProblems([...loaded.problems, ...problems]).join('\n'));
  return definition.value;
}

for (const { section, rule, change, expected } of RULES) {
  test(`${section}: ${rule}`, () => {
    assert.deepEqual(sentences(applied(CSV, change), applied(CLUSTER, change)), expected);
  });
}

for (const { rule, before, after, expected } of CHANGE_RULES) {
  test(`C.7: ${rule}`, () => {
    const faults = faultsOfChange(definitionOf(applied(CLUSTER, before)), definitionOf(applied(CLUSTER, after)));

    assert.deepEqual(
      faults.map(({ kind, name, path, message }) => `${kind} ${name} ${path}: ${message}`),
      expected,
    );
  });
}

/** What a change needs of free machines, by group. */
const NEEDS: readonly (readonly [rule: string, after: Change, needs: Readonly<Record<string, number>>])[] = [
  ['a group that grows needs the difference', [{ from: 'count: 2', to: 'count: 5' }], { 'md-0': 3 }],
  ['a group that shrinks needs none', [{ from: 'count: 2', to: 'count: 1' }], {}],
  [
    'another image is a rollout and needs the surge of each group',
    [{ from: '1.30.raw', to: '1.30-b.raw' }],
    { 'control-plane': 1, 'md-0': 1 },
  ],
  [
    'a rollout that takes a node out first needs none',
    [
      { from: '1.30.raw', to: '1.30-b.raw' },
      { from: '{maxSurge: 1}}', to: '{maxSurge: 0}}' },
      { from: '{maxSurge: 1, maxUnavailable: 0}', to: '{maxSurge: 0, maxUnavailable: 1}' },
    ],
    {},
  ],
  [
    'a rollout in place needs none',
    [
      { from: '1.30.raw', to: '1.30-b.raw' },
      { from: '{type: RollingUpdate, rollingUpdate: {maxSurge: 1}}', to: '{type: InPlace}' },
      { from: '{type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}', to: '{type: InPlace}' },
    ],
    {},
  ],
];

for (const [rule, after, expected] of NEEDS) {
  test(`C.7: ${rule}`, () => {
    const needs = needsOfChange(definitionOf(CLUSTER), definitionOf(applied(CLUSTER, after)));

    assert.deepEqual(Object.fromEntries(needs.map(({ name, count }) => [name, count])), expected);
  });
}

test('C.7: spares that two groups need add up', () => {
  const shared = applied(CLUSTER, [{ from: '{type: dp}', to: '{type: cp}' }]);
  const needs = needsOfChange(
    definitionOf(shared),
    definitionOf(applied(shared, [{ from: '1.30.raw', to: '1.30-b.raw' }])),
  );

  assert.deepEqual(
    hardwareShortfalls(needs, [{ name: 'spare', labels: { type: 'cp' } }]).map(({ message }) => message),
    ['control-plane and md-0 need 2 machines with type=cp and there is 1 (spare): add 1, or lower a count'],
  );
});

test('the good input of this table has no fault and no warning', () => {
  assert.deepEqual(sentences(CSV, CLUSTER), []);
  assert.deepEqual(faultsOfChange(definitionOf(CLUSTER), definitionOf(CLUSTER)), []);
});

/** Rules that need the machines, the network or the server: they are checked where those are at hand. */
const ELSEWHERE: readonly string[] = [
  'C.6: a container named smee is left over (there is no container here)',
  'C.6: endpoint and tinkerbellIP are not in use (cluster plan)',
  'C.6: ports of the admin host are free (cluster plan; the server refuses to start)',
  'C.6: a workload cluster’s objects do not exist yet (cluster create)',
  'C.6: BMCs are reachable (no BMCs in this version)',
];

test('every rule is named once', (context) => {
  const names = [
    ...RULES.map(({ rule }) => rule),
    ...CHANGE_RULES.map(({ rule }) => rule),
    ...NEEDS.map(([rule]) => rule),
  ];

  assert.equal(new Set(names).size, names.length);
  const checked = names.length + 1;
  context.diagnostic(`${checked} of ${checked + ELSEWHERE.length} rules of B and C are checked here`);
});
