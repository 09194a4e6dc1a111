import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import { Findings } from './findings.ts';
import { parseYaml } from './yaml-documents.ts';

function parse(text: string) {
  const findings = new Findings();
  const documents = parseYaml({ name: 'f', text }, findings);
  return { count: documents.length, problems: describeProblems(findings.problems) };
}

test('nesting is bounded before any tree is made, in every style', () => {
  const tooDeep = /^f:\d+:\d+: values are nested deeper than 64 levels: nest less deeply, or correct the YAML above$/;
  for (const text of ['['.repeat(100), '{a: '.repeat(100), '- '.repeat(100), '? '.repeat(100)]) {
    const { count, problems } = parse(text);
    assert.equal(count, 0);
    assert.equal(problems.length, 1, problems.join('\n'));
    assert.match(problems[0] ?? '', tooDeep);
  }
  assert.deepEqual(parse(`a: ${'['.repeat(50)}${']'.repeat(50)}`), { count: 1, problems: [] });
});

test('aliases may neither multiply nor stack values without bound', () => {
  const laughs = Array.from({ length: 10 }, (_, n) => `a${n + 1}: &a${n + 1} [${`*a${n},`.repeat(10)}]`);
  const stack = Array.from({ length: 100 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}]`);
  const few = Array.from({ length: 20 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}]`);

  assert.deepEqual(parse(`a0: &a0 [x]\n${laughs.join('\n')}\n`), {
    count: 0,
    problems: ['f:5:42: aliases expand to more than 20000 values: write the values out'],
  });
  const { count, problems } = parse(`a0: &a0 [x]\n${stack.join('\n')}\n`);
  assert.equal(count, 0);
  assert.match(problems[0] ?? '', /aliases nest values deeper than 64 levels/);
  assert.deepEqual(parse(`a0: &a0 [x]\n${few.join('\n')}\n`), { count: 1, problems: [] });
});

test('a file of too many tokens is refused where they run out', () => {
  const { count, problems } = parse('- 1\n'.repeat(300_000));

  assert.equal(count, 0);
  assert.equal(problems.length, 1);
  assert.match(problems[0] ?? '', /^f:\d+:\d+: the file has more than 800000 YAML tokens: split it$/);
});

test('a broken document does not hide the others, and tells its first fault only', () => {
  const { count, problems } = parse("a: 1\n---\nb: 'x' y\n---\nc: 3\n");
  const middle = parse('a: 1\n---\nb: [1\nc: 2\nd: ]\n---\nc: 3\n');

  assert.equal(problems.length, 1);
  assert.equal(count, 2);
  assert.equal(middle.problems.length, 1);
  assert.equal(middle.count, 2);
});

test('no message of the YAML library shows the text in question', () => {
  for (const text of [
    'a: "x" hunter2\n',
    "a: 'x' 'hunter2'\n",
    'a: ] hunter2\n',
    'a: b\n hunter2: c\n',
    '- a\nhunter2\n',
    '"hunter2\n',
  ]) {
    const { problems } = parse(text);
    assert.ok(problems.length > 0, text);
    assert.ok(!problems.join('\n').includes('hunter2'), problems.join('\n'));
  }
});
