/** That every variable which an action declares is used by a test of that action, and that the README lists every action. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { catalog } from '#proto/actions/catalog.ts';
import type { ActionDeclaration } from '#proto/actions/declaration.ts';

const root = resolve(import.meta.dirname, '..');
const own = 'action-variables.test.ts';
const tests = ['proto', 'agent', 'test', 'server'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(test|e2e)\.ts$/.test(name) && !name.endsWith(own))
    .map((name) => ({ name: `${folder}/${name}`, text: readFileSync(join(root, folder, name), 'utf8') })),
);
const actions = Object.entries<ActionDeclaration<unknown>>(catalog);

/** Files of tests that give the action this variable. */
function testsOf(action: string, variable: string): readonly string[] {
  const names = new RegExp(`(^|[^A-Z0-9_])${variable}([^A-Z0-9_]|$)`);
  const speaks = new RegExp(`['"/]${action}['":/]|catalog\\.${action}\\b|\\b${action}: \\[|image: ${action}\\b`);
  return tests.filter(({ text }) => names.test(text) && speaks.test(text)).map(({ name }) => name);
}

describe('the actions', () => {
  for (const [action, { environment }] of actions) {
    it(`${action}: every variable is given to it by a test`, () => {
      const untested = Object.keys(environment).filter((variable) => testsOf(action, variable).length === 0);

      assert.deepEqual(untested, []);
    });
  }

  it('are all in the README’s table', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');

    assert.deepEqual(
      actions.map(([name]) => name).filter((name) => !readme.includes(`\n| ${name} |`)),
      [],
    );
  });
});
