import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import { loadManifests } from './load-manifests.ts';
import { planApply } from './plan-apply.ts';

/** Hostile and damaged input: whatever comes in, the answer is a list of problems with places, in bounded time. */

const FIXTURES = new URL('../../test/fixtures/eksa-example/', import.meta.url);
const CSV = readFileSync(new URL('hardware.csv', FIXTURES), 'utf8');
const CLUSTER = readFileSync(new URL('cluster.yaml', FIXTURES), 'utf8');
/** Every field of the kinds of a cluster. */
const FULL = readFileSync(new URL('../eksa-full/cluster.yaml', FIXTURES), 'utf8');
const WORKFLOW = `apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata: {name: w}
spec: {templateRef: tmpl1, hardwareSelector: {type: cp}}
`;

/** Loads and plans; every problem has to have a place inside its file and a sentence. */
function digest(files: readonly { readonly name: string; readonly text: string }[]): number {
  const loaded = loadManifests(files);
  const plan = planApply(loaded, { hardware: [], templates: [], workflows: [] }, { actionTimeoutMs: 1000 });
  const problems = [...loaded.problems, ...loaded.warnings, ...plan.problems, ...plan.warnings];
  for (const problem of problems) {
    const file = files.find(({ name }) => name === problem.file);
    assert.ok(problem.message.length > 5 && problem.message.length < 2000, problem.message.slice(0, 300));
    if (file === undefined) continue;
    assert.ok(
      problem.line >= 0 && problem.line <= file.text.split(/\r\n|\n|\r/).length,
      describeProblems([problem])[0],
    );
    assert.ok(problem.line === 0 || problem.column >= 1, describeProblems([problem])[0]);
  }
  return loaded.problems.length;
}

/** A small generator of repeatable numbers (mulberry32), so that a failure can be run again from its seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const SCRAPS = [
  '"',
  "'",
  ',',
  ':',
  '\n',
  '\r\n',
  '\t',
  '- ',
  '? ',
  '[',
  ']',
  '{',
  '}',
  '&a ',
  '*a',
  '!x ',
  '|',
  '>',
  '%',
  '#',
  '---\n',
  '{{',
  '}}',
  '{{ .x }}',
  '<<: ',
  '\u2028',
  '😀',
  '=',
  '|',
  '~',
  'null',
  '0x1',
  '1e999',
  '-',
  '__proto__',
  'constructor',
  '\u0001',
  '\uFEFF',
];

function damaged(text: string, random: (below: number) => number): string {
  let result = text;
  for (let change = random(4); change >= 0; change--) {
    const at = random(result.length + 1);
    const length = random(6) === 0 ? random(200) : random(3);
    const piece =
      random(3) === 0
        ? result.slice(random(result.length), random(result.length)).slice(0, 100)
        : (SCRAPS[random(SCRAPS.length)] ?? '');
    result = result.slice(0, at) + piece + result.slice(at + length);
  }
  return result;
}

test('damaged fixtures are read or refused, never more', () => {
  let refused = 0;
  for (let seed = 1; seed <= 120; seed++) {
    const random = randomFrom(seed);
    const files = [
      { name: 'h.csv', text: damaged(CSV, random) },
      { name: 'c.yaml', text: damaged(CLUSTER, random) },
      { name: 'w.yaml', text: damaged(WORKFLOW, random) },
    ];
    try {
      if (digest(files) > 0) refused++;
    } catch (thrown) {
      assert.fail(`seed ${seed}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    }
  }
  assert.ok(refused > 70, `only ${refused} of 120 were refused`);
});

test('damaged cluster files with every field are read or refused, never more', () => {
  let refused = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const random = randomFrom(seed);
    try {
      if (digest([{ name: 'c.yaml', text: damaged(FULL, random) }]) > 0) refused++;
    } catch (thrown) {
      assert.fail(`seed ${seed}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    }
  }
  assert.ok(refused > 70, `only ${refused} of 200 were refused`);
});

test('a cluster file with every field has no fault, and with any of its values exchanged is read or refused', () => {
  const lines = FULL.split('\n');
  const values = [...new Set(lines.flatMap((line) => /: (\S.*)$/.exec(line)?.[1] ?? []))];
  assert.equal(digest([{ name: 'c.yaml', text: FULL }]), 0);
  for (const [index, line] of lines.entries()) {
    const random = randomFrom(index);
    const value = values[random(values.length)] ?? '';
    const text = lines
      .with(
        index,
        line.replace(/: \S.*$/, () => `: ${value}`),
      )
      .join('\n');
    try {
      digest([{ name: 'c.yaml', text }]);
    } catch (thrown) {
      assert.fail(`line ${index + 1}: ${value}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    }
  }
});

test('random text is read or refused, never more', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const random = randomFrom(seed);
    const text = Array.from({ length: random(60) }, () => SCRAPS[random(SCRAPS.length)] ?? '').join('');
    const header = random(2) === 0 ? CSV.slice(0, CSV.indexOf('\n') + 1) : '';
    try {
      digest([{ name: ['a.csv', 'a.yaml', '-'][seed % 3] ?? '-', text: header + text }]);
    } catch (thrown) {
      assert.fail(`seed ${seed}: ${JSON.stringify(text)}: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    }
  }
});

const MANY = 60_000;
const BOMBS: Readonly<Record<string, string>> = {
  'flow lists without end': '['.repeat(MANY),
  'maps in maps': '{a: '.repeat(MANY),
  'lists in one line': '- '.repeat(MANY),
  'keys in one line': '? '.repeat(MANY),
  'deeper with each line': Array.from({ length: 300 }, (_, depth) => `${' '.repeat(depth)}a:\n`).join(''),
  'nested restarts': 'a: b: c\n'.repeat(MANY),
  'a billion laughs': `a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 20 }, (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n},`.repeat(10)}]`).join('\n')}\n`,
  'aliases that nest': `a0: &a0 [x]\n${Array.from({ length: 100 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}]`).join('\n')}\n`,
  'a laugh inside a manifest': `${WORKFLOW}x: &x [${'y,'.repeat(100)}]\nz: [${'*x,'.repeat(1000)}]\n`,
  'merge keys of merge keys': `a0: &a0 {k: v}\n${Array.from({ length: 30 }, (_, n) => `a${n + 1}: &a${n + 1} {<<: [*a${n}, *a${n}]}`).join('\n')}\n`,
  'many keys': Array.from({ length: 20_000 }, (_, n) => `k${n}: 1\n`).join(''),
  'many documents': '---\na: 1\n'.repeat(5000),
  'closing brackets': ']'.repeat(20_000),
  quotes: '"'.repeat(20_000),
  'a long line': `a: ${'x'.repeat(1_000_000)}`,
  'a long key': `${WORKFLOW}${'k'.repeat(1000)}: 1\n`,
  'a million commas in a table': ','.repeat(1_000_000),
  'a column of quotes': `${CSV}${'"",'.repeat(MANY)}`,
  'rows that are no machines': CSV + 'x,y\n'.repeat(20_000),
  'an open quote over a large table': `${CSV}"${'x,y\n'.repeat(50_000)}`,
  'a label that backtracks': CSV.replace('type=cp', `${'a-'.repeat(30_000)}=`),
  'a disk that backtracks': CSV.replace('/dev/sda', `/dev/${'a/'.repeat(30_000)}`),
  'an image that backtracks': CLUSTER.replace(/image: .*/, `image: ${'a-'.repeat(200)}!`),
  'a key that backtracks': CLUSTER.replace(/ssh-ed25519 .*/, `ssh-ed25519 ${'A'.repeat(60_000)}!`),
  'a certificate that backtracks': FULL.replace(
    /-----BEGIN CERTIFICATE-----/g,
    '-----BEGIN CERTIFICATE-----'.repeat(5000),
  ),
  'a duration that backtracks': FULL.replace('20m', `${'1m'.repeat(30_000)}!`),
  'a network that is long': FULL.replace('172.16.0.0/16', `${'1.'.repeat(30_000)}/16`),
  'thousands of worker groups': CLUSTER.replace(
    '    - count: 1\n      name: md-0\n',
    `${'    - {count: 2, machineGroupRef: {kind: TinkerbellMachineConfig, name: mc2}}\n'.repeat(5000)}    - count: 1\n      name: md-0\n`,
  ),
  'dots in a host name': CSV.replace('eksabmhp1-cp-n-1', `${'a.'.repeat(30_000)}!`),
};

for (const [name, text] of Object.entries(BOMBS)) {
  test(`${name}: refused in bounded time, without the end of the process`, () => {
    for (const file of ['bomb.csv', 'bomb.yaml']) {
      const before = process.cpuUsage();

      const problems = digest([{ name: file, text }]);

      // The process's own time: a busy machine does not count.
      const { user } = process.cpuUsage(before);
      assert.ok(problems > 0, file);
      assert.ok(user < 5_000_000, `${file} took ${user} µs`);
    }
  });
}
