/** Images of the library that somebody names before they are there: told when it is applied, planned, listed and described. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type ApiWorld, startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess } from '#test/support/cli-process.ts';
import { clusterYaml, hardwareCsv } from '#test/support/cluster-files.ts';
import { diskImage } from '#test/support/disk-image.ts';

let folder: string;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-missing-'));
  await writeFile(join(folder, 'disk.raw'), diskImage());
  await writeFile(join(folder, 'hardware.csv'), hardwareCsv({ 1: 'cp', 2: 'dp' }));
  await writeFile(join(folder, 'install.yaml'), manifests(['m1', 'm2'], 'library:debian-12'));
  const library = clusterYaml().replace(/osImageURL: .*/, 'osImageURL: library:ubuntu-1-30');
  await writeFile(join(folder, 'cluster.yaml'), library);
});

after(() => rm(folder, { recursive: true, force: true }));

function manifests(machines: readonly string[], image: string): string {
  const write = {
    name: 'write',
    image: 'image2disk',
    timeout: 60,
    environment: { DEST_DISK: '/dev/vda', IMG_URL: image },
  };
  const data = JSON.stringify({ name: 't', tasks: [{ name: 'install', worker: '{{.device_1}}', actions: [write] }] });
  const workflows = machines.map((name) => record('Workflow', name, { templateRef: 't', hardwareRef: name }));
  return [record('Template', 't', { data }), ...workflows].join('\n---\n');
}

function record(kind: string, name: string, spec: object): string {
  return JSON.stringify({ apiVersion: 'tinkerbell.org/v1alpha1', kind, metadata: { name }, spec });
}

async function cli(world: ApiWorld, ...argv: string[]) {
  return runCliProcess(world, argv, { cwd: folder });
}

describe('an image that the library has not', () => {
  it('is told when workflows that name it are applied, and shown until it is there', async () => {
    await using world = await startApiWorld();

    const applied = await cli(world, 'apply', '-f', 'hardware.csv', '-f', 'install.yaml');

    assert.equal(applied.code, 0, applied.stderr);
    const sentence =
      /^warning: install\.yaml:\d+:\d+: Workflow m1 and 1 more name library:debian-12, .*tinsmith image add debian-12 SOURCE$/m;
    assert.match(applied.stderr, sentence);
    const again = await cli(world, 'apply', '-f', 'install.yaml', '--dry-run', '-o', 'json');
    assert.match(JSON.parse(again.stdout).warnings[0].message, /Workflow m1 and 1 more name library:debian-12/);
    assert.match(
      (await cli(world, 'get', 'workflows')).stdout,
      /^m1 .*image debian-12 is missing \(tinsmith image add/m,
    );
    assert.match(
      (await cli(world, 'describe', 'workflow', 'm1')).stdout,
      /^Image +debian-12 is missing \(tinsmith image/m,
    );
    const json = JSON.parse((await cli(world, 'get', 'workflow', 'm1', '-o', 'json')).stdout);
    assert.deepEqual(json.missingImages, ['debian-12']);

    await cli(world, 'image', 'add', 'debian-12', 'disk.raw');

    assert.doesNotMatch((await cli(world, 'get', 'workflows')).stdout, /missing/);
    assert.equal((await cli(world, 'apply', '-f', 'install.yaml')).stderr, '');
    const { digest } = JSON.parse((await cli(world, 'image', 'show', 'debian-12', '-o', 'json')).stdout);
    await writeFile(
      join(folder, 'digest.yaml'),
      manifests(['w3'], `library:sha256-${digest}`).replaceAll('"hardwareRef":"w3"', '"hardwareRef":"m1"'),
    );
    assert.equal((await cli(world, 'apply', '-f', 'digest.yaml', '--dry-run')).stderr, '');
  });

  it('is told with the name that is nearly right', async () => {
    await using world = await startApiWorld();
    await cli(world, 'image', 'add', 'debian-13', 'disk.raw');

    const { stderr } = await cli(world, 'apply', '-f', 'hardware.csv', '-f', 'install.yaml', '--dry-run');

    assert.match(stderr, /the library has no such image \(did you mean debian-13\?\)/);
  });

  it('is shown with the name that is nearly right while its workflow waits, and after that has failed', async () => {
    await using world = await startApiWorld();
    await cli(world, 'image', 'add', 'debian-13', 'disk.raw');
    await cli(world, 'apply', '-f', 'hardware.csv', '-f', 'install.yaml');
    const sentence = /debian-12 is missing \(did you mean debian-13\? tinsmith image add debian-12 SOURCE\)/;

    assert.match((await cli(world, 'get', 'workflows')).stdout, sentence);
    assert.match((await cli(world, 'describe', 'workflow', 'm1')).stdout, sentence);
    const json = JSON.parse((await cli(world, 'get', 'workflow', 'm1', '-o', 'json')).stdout);
    assert.deepEqual(json.nearestImages, { 'debian-12': 'debian-13' });

    const error = { code: 'download_failed', message: 'the server answered 404' } as const;
    await world.transitions.failWorkflow('m1', error, { actor: 'server' });

    assert.match((await cli(world, 'describe', 'workflow', 'm1')).stdout, sentence);
  });

  it('is told in the plan of a cluster, and when its files are applied', async () => {
    await using world = await startApiWorld();

    const plan = await cli(world, 'cluster', 'plan', '-f', 'cluster.yaml', '--hardware', 'hardware.csv');
    const applied = await cli(world, 'apply', '-f', 'cluster.yaml', '-f', 'hardware.csv', '--dry-run');

    assert.equal(plan.code, 0, plan.stderr);
    assert.match(
      plan.stderr + plan.stdout,
      /cluster\.yaml:\d+:\d+: machine m1 and 1 more name library:ubuntu-1-30, and the library/,
    );
    assert.match(
      applied.stderr,
      /cluster\.yaml:\d+:\d+: TinkerbellDatacenterConfig c1 names library:ubuntu-1-30, and the library/,
    );
  });
});
