/** The rules of ARCHITECTURE.md that can be read off the files: who imports whom, sizes, tables that must agree. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import { ERROR_CODES } from '#proto/errors.ts';
import { flagOf, SETTINGS, variableOf } from '#server/config.ts';

const root = resolve(import.meta.dirname, '..');
const sources = ['proto', 'transfer', 'server', 'agent', 'images', 'scripts', 'test'].flatMap((folder) =>
  typescriptFiles(folder),
);

/** Folder or file → what it may import, longest match first. `self` is always allowed. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  proto: [],
  transfer: ['proto'],
  agent: ['proto', 'transfer'],
  images: ['proto'],
  'server/life': ['proto', 'server/manifests/hardware-kind.ts'],
  'server/config.ts': ['proto'],
  'server/manifests': ['proto', 'server/life', 'server/store'],
  'server/store': [
    'proto',
    'server/life',
    'server/manifests',
    'server/provision/engine.ts',
    'server/cluster/cluster-options.ts',
    'server/cluster/bootstrap/bootstrapper.ts',
  ],
  'server/discover': ['proto', 'server/life', 'server/manifests', 'server/store', 'server/config.ts'],
  'server/boot': ['proto', 'transfer', 'server/life', 'server/manifests', 'server/store', 'server/config.ts'],
  'server/enroll': ['proto', 'server/life', 'server/manifests', 'server/store', 'server/config.ts'],
  'server/provision': [
    'proto',
    'server/life',
    'server/manifests',
    'server/store',
    'server/config.ts',
    'server/connection-limit.ts',
  ],
  'server/slurp': [
    'proto',
    'server/store',
    'server/make-folder.ts',
    'server/life',
    'server/installed/calling-machine.ts',
  ],
  'server/installed': ['proto', 'server/life', 'server/manifests', 'server/store', 'server/config.ts'],
  'server/cluster': ['proto', 'server/life', 'server/manifests', 'server/store', 'server/config.ts'],
  'server/library': [
    'proto',
    'transfer',
    'server/life',
    'server/manifests/did-you-mean.ts',
    'server/store',
    'server/config.ts',
  ],
  // Its verbs are what the cluster routes translate to.
  'server/api': [
    'proto',
    'server/life',
    'server/manifests',
    'server/store',
    'server/cluster',
    'server/library',
    'server/config.ts',
  ],
  'server/cli': [
    'server/api/types.ts',
    'server/api/cluster-types.ts',
    'server/api/image-types.ts',
    'proto/errors.ts',
    'proto/url-secrets.ts',
  ],
  'server/connection-limit.ts': [],
  'server/facing-interface.ts': ['proto'],
  'server/server-log.ts': ['proto', 'server/log-limit.ts'],
  'server/machine-facing-server.ts': ['proto', 'server/connection-limit.ts'],
  'server/make-folder.ts': ['proto'],
  'server/app.ts': ['proto', 'server'],
  'server/main.ts': ['proto', 'server', 'images'],
  scripts: ['proto', 'transfer', 'server', 'images', 'agent', 'test/support'],
  test: ['proto', 'transfer', 'server', 'agent', 'images', 'scripts', 'test'],
};

describe('architecture', () => {
  it('lets every file import only what its room may know', () => {
    const offenders = sources.flatMap((file) =>
      file.endsWith('.test.ts')
        ? []
        : importsOf(file)
            .filter((target) => !mayImport(file, target))
            .map((target) => `${file} must not import ${target}`),
    );

    assert.deepEqual(offenders, []);
  });

  it('keeps stage and state columns out of every file but the transitions', () => {
    const writers = sources.filter(
      (file) =>
        file.startsWith('server/') &&
        !file.endsWith('.test.ts') &&
        /(machine|workflow|action|cluster|node)Life\.next\(/.test(read(file)),
    );

    assert.deepEqual(
      writers.filter((file) => !/^server\/store\/([a-z-]+-)?transitions\.ts$/.test(file)),
      [],
    );
  });

  it('gives actions no way to the machine but their context', () => {
    const offenders = sources.filter(
      (file) =>
        file.startsWith('agent/actions/') &&
        !file.endsWith('.test.ts') &&
        /from 'node:(child_process|fs|fs\/promises|net|dgram)'/.test(read(file)),
    );

    assert.deepEqual(offenders, []);
  });

  it('has no file of more than 400 lines of code, tests included, no barrels and no rooms for anything', () => {
    const long = sources.filter((file) => !file.startsWith('proto/gen/') && codeLines(file) > 400);
    const vague = sources.filter(
      (file) => /\/(index|utils|helpers|types|common)\.ts$/.test(file) && file !== 'server/api/types.ts',
    );

    assert.deepEqual({ long, vague }, { long: [], vague: [] });
  });

  it('gives a reason for every rule that is waived', () => {
    const bare = sources.flatMap((file) =>
      read(file)
        .split('\n')
        .filter((line) => /oxlint-disable|biome-ignore|@ts-expect-error|@ts-ignore/.test(line) && !/ -- \S/.test(line))
        .map((line) => `${file}: ${line.trim()}`),
    );

    assert.deepEqual(
      bare.filter((line) => !line.startsWith('test/architecture.test.ts')),
      [],
    );
  });

  it('lists in ARCHITECTURE.md exactly the error codes that exist', () => {
    const section = read('ARCHITECTURE.md').split('## Errors')[1]?.split('\n## ')[0] ?? '';
    const listed = [...section.matchAll(/^\| `([a-z_]+)` \| (\d+) \| (\d+) \|/gm)].map(
      ([, code, http, exit]) => `${code} ${http} ${exit}`,
    );
    const existing = Object.entries(ERROR_CODES).map(([code, row]) => `${code} ${row.http} ${row.exit}`);

    assert.deepEqual(listed, existing);
  });

  it('lists in the README exactly the settings that exist, with their defaults', () => {
    const listed = [
      ...read('README.md').matchAll(/^\| `--([a-z-]+)` \| `(TINSMITH_[A-Z_]+)` \| (.*?) \| (.*) \|$/gm),
    ].map(([, flag, variable, fallback, summary]) => `${flag} ${variable} ${fallback} ${summary}`);
    const existing = Object.entries(SETTINGS).map(
      ([name, setting]) =>
        `${flagOf(name)} ${variableOf(name)} ${setting.default === '' ? '–' : `\`${setting.default}\``} ${setting.summary}`,
    );

    assert.deepEqual(listed, existing);
  });

  it('never reads the shared folder of the workplace', () => {
    const marker = ['..', 'shared'].join('/');
    const offenders = sources.filter((file) => read(file).includes(`${marker}/`));

    assert.deepEqual(offenders, []);
  });
});

function mayImport(file: string, target: string): boolean {
  const rule = Object.keys(MAY_IMPORT)
    .filter((prefix) => file === prefix || file.startsWith(`${prefix}/`))
    .toSorted((a, b) => b.length - a.length)[0];
  if (rule === undefined) return false;
  const allowed = [rule, ...(MAY_IMPORT[rule] ?? [])];
  return allowed.some((prefix) => target === prefix || target.startsWith(`${prefix}/`));
}

function importsOf(file: string): string[] {
  const found = [...read(file).matchAll(/(?:from|import\() ?'([^']+)'/g)].map(([, path]) => path ?? '');
  return found.flatMap((path) => {
    if (path.startsWith('#')) return [path.slice(1)];
    if (path.startsWith('.')) return [posix.join(dirname(file), path)];
    return [];
  });
}

function codeLines(file: string): number {
  return read(file)
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^\s*(\/\/|\/?\*)/.test(line)).length;
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

function typescriptFiles(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && !entry.name.endsWith('.d.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('test/fixtures/'));
}
