import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contestedMachines, type GroupNeed, hardwareShortfalls } from './hardware-shortfalls.ts';

type Labels = Readonly<Record<string, string>>;

function machines(...labels: readonly Labels[]) {
  return labels.map((each, index) => ({ name: `m${index + 1}`, labels: each }));
}

function selecting(name: string, count: number, hardwareSelector: Labels): GroupNeed {
  return { name, count, machineConfig: { hardwareSelector } };
}

function preferring(name: string, count: number, ...terms: readonly Labels[]): GroupNeed {
  const required = terms.map((matchLabels) => ({ matchLabels, matchExpressions: [] }));
  return { name, count, machineConfig: { hardwareAffinity: { required, preferred: [] } } };
}

function sentences(groups: readonly GroupNeed[], ...labels: readonly Labels[]): readonly string[] {
  return hardwareShortfalls(groups, machines(...labels)).map(({ message }) => message);
}

test('enough machines for everybody are no fault, and neither is a group without nodes', () => {
  const groups = [selecting('cp', 1, { type: 'cp' }), selecting('md-0', 2, { type: 'dp' })];

  assert.deepEqual(sentences(groups, { type: 'cp' }, { type: 'dp' }, { type: 'dp' }, {}), []);
  assert.deepEqual(sentences([selecting('md-0', 0, { type: 'dp' })], { type: 'cp' }), []);
});

test('groups that choose by the same label add up', () => {
  const groups = [selecting('cp', 3, { type: 'x' }), selecting('md-0', 2, { type: 'x' })];

  assert.deepEqual(sentences(groups, { type: 'x' }, { type: 'x' }, { type: 'x' }), [
    'cp and md-0 need 5 machines with type=x and there are 3 (m1, m2, m3): add 2, or lower a count',
  ]);
});

test('the terms of an affinity are alternatives: none of them has to reach the whole count', () => {
  const groups = [preferring('md-0', 3, { rack: 'a' }, { rack: 'b' })];

  assert.deepEqual(sentences(groups, { rack: 'a' }, { rack: 'a' }, { rack: 'b' }), []);
  assert.equal(sentences(groups, { rack: 'a' }, { rack: 'b' }).length, 1);
});

test('a group takes another machine where somebody else needs this one, over several corners', () => {
  const groups = [
    preferring('a', 1, { one: '' }, { two: '' }),
    preferring('b', 1, { two: '' }, { three: '' }),
    preferring('c', 1, { three: '' }, { four: '' }),
    selecting('d', 1, { one: '' }),
    selecting('e', 1, { two: '' }),
  ];
  const all: readonly Labels[] = [{ one: '' }, { two: '' }, { three: '' }, { four: '' }];

  // a has only what d and e need.
  assert.equal(sentences(groups, ...all).length, 1);
  assert.deepEqual(sentences(groups, ...all, { one: '', other: '' }), []);
});

test('what is missing is what no choice would fill, whatever the order of the groups', () => {
  const wide = preferring('wide', 2, { a: '' }, { b: '' });
  const narrow = selecting('narrow', 2, { a: '' });
  const labels: readonly Labels[] = [{ a: '' }, { a: '' }, { b: '' }];

  for (const groups of [
    [wide, narrow],
    [narrow, wide],
  ]) {
    assert.match(sentences(groups, ...labels).join(), /add 1, or lower a count/);
    assert.deepEqual(sentences(groups, ...labels, { b: '' }), []);
  }
});

test('ten thousand machines are given out in no time', () => {
  const labels = Array.from({ length: 10_000 }, (_, index) => ({ rack: String(index % 40), side: String(index % 3) }));
  const groups = Array.from({ length: 40 }, (_, index) =>
    preferring(`g${index}`, 200, { rack: String(index) }, { side: String(index % 3) }),
  );
  const before = process.cpuUsage();

  assert.deepEqual(sentences(groups, ...labels), []);

  assert.ok(process.cpuUsage(before).user < 5_000_000);
});

test('a machine that fits two selectors is named; affinities may overlap', () => {
  const selectors = [selecting('cp', 1, { type: 'cp' }), selecting('md-0', 1, { role: 'x' })];
  const both = machines({ type: 'cp', role: 'x' }, { type: 'cp' });

  assert.deepEqual(contestedMachines(selectors, both), [
    {
      group: 'md-0',
      message: 'm1 has both type=cp and role=x: it goes where it is needed, remove one of its labels if that matters',
    },
  ]);
  assert.deepEqual(
    contestedMachines([selecting('cp', 1, { type: 'cp' }), preferring('w', 1, { role: 'x' })], both),
    [],
  );
});
