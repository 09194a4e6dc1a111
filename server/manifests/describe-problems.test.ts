import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import { Findings, shown } from './findings.ts';

const at = (file: string, line: number, column: number, message: string) => ({ file, line, column, message });

test('problems are told in the order of their places, each once', () => {
  const lines = describeProblems([
    at('b.yaml', 1, 1, 'x'),
    at('a.csv', 10, 2, 'late'),
    at('a.csv', 2, 30, 'second'),
    at('a.csv', 2, 4, 'first'),
    at('a.csv', 2, 4, 'first'),
    at('a.csv', 0, 0, 'whole'),
  ]);

  assert.deepEqual(lines, [
    'a.csv: whole',
    'a.csv:2:4: first',
    'a.csv:2:30: second',
    'a.csv:10:2: late',
    'b.yaml:1:1: x',
  ]);
});

test('a flood of problems is counted and not listed', () => {
  const findings = new Findings();
  for (let line = 1; line <= 10_000; line++) findings.refuse({ file: 'f', line, column: 1 }, 'bad', 'v'.repeat(10_000));

  assert.equal(findings.problemCount, 10_000);
  assert.equal(findings.problems.length, 501);
  assert.equal(findings.problems.at(-1)?.message, 'and 9500 more problems: fix these first');
  assert.ok(JSON.stringify(findings.problems).length < 200_000);
});

test('a value in a sentence is on one line and cut short', () => {
  assert.equal(shown('a\nb"\u0007'), '"a\\nb\\"\\u0007"');
  assert.ok(shown('x'.repeat(1000)).length < 100);
});
