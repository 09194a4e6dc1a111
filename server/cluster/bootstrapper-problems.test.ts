import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeProblems } from '../manifests/describe-problems.ts';
import { loadManifests } from '../manifests/load-manifests.ts';
import { bootstrapperProblems } from './bootstrapper-problems.ts';

const CLUSTER = readFileSync(new URL('../../test/fixtures/eksa-rules/cluster.yaml', import.meta.url), 'utf8');

function problemsOf(annotations: string): readonly string[] {
  const text = CLUSTER.replace('  name: prod\n', `  name: prod\n  annotations: ${annotations}\n`);
  return describeProblems(bootstrapperProblems(loadManifests([{ name: 'c.yaml', text }])));
}

test('a cluster that names no bootstrapper, or one that exists, has no problem', () => {
  assert.deepEqual(problemsOf('{a: b}'), []);
  assert.deepEqual(problemsOf('{tinsmith.dev/bootstrapper: k3s}'), []);
});

test('a bootstrapper that does not exist is refused at its place, with those that do', () => {
  const [problem, ...others] = problemsOf('{tinsmith.dev/bootstrapper: kubeadmm}');

  assert.match(problem ?? '', /^c\.yaml:5:16: Cluster prod names the bootstrapper kubeadmm, .*did you mean.*kubeadm/);
  assert.deepEqual(others, []);
});
