/** `cluster plan` as a child process against the admin API on the real store. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ClusterPlan } from '#server/api/cluster-types.ts';
import { startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess } from '#test/support/cli-process.ts';
import { clusterYaml, hardwareCsv } from '#test/support/cluster-files.ts';

const EXAMPLE = fileURLToPath(new URL('../fixtures/eksa-example/', import.meta.url));
const plan = ['cluster', 'plan', '-f', 'cluster.yaml'];
const TAKEN = {
  metadataUrl: 'http://10.9.0.254:7172',
  ports: [],
  addresses: () => ['10.9.0.254'],
  probe: async () => new Map([['10.9.0.200', { isTaken: true, detail: 'answers on port 80' }]]),
};

function filesOf(machines: Readonly<Record<number, string>>) {
  return [
    { name: 'cluster.yaml', text: clusterYaml() },
    { name: 'hardware.csv', text: hardwareCsv(machines) },
  ];
}

describe('tinsmith cluster plan', () => {
  it('prints the plan of the published example, and all of it as JSON, and stores nothing', async () => {
    await using world = await startApiWorld();
    const argv = [...plan, '--hardware', 'hardware-fixed.csv'];

    const [text, json] = await Promise.all([
      runCliProcess(world, argv, { cwd: EXAMPLE }),
      runCliProcess(world, [...argv, '-o', 'json'], { cwd: EXAMPLE }),
    ]);

    assert.equal(text.code, 0, text.stderr);
    assert.match(text.stdout, /^ {2}1 {2}eksabmhp1-cp-n-1 {2}control-plane {2}makes the control plane /m);
    assert.match(text.stdout, /user data: settings in TOML, about \d+ KiB, never shown, holds keys/);
    assert.doesNotMatch(text.stdout + json.stdout, /BEGIN .*PRIVATE KEY/);
    assert.equal(text.stdout.includes('\u001b'), false);
    // The command prints what the API answers.
    const document = JSON.parse(json.stdout) as ClusterPlan;
    assert.deepEqual(
      document.nodes.map(({ machine, step }) => `${machine} ${step}`),
      ['eksabmhp1-cp-n-1 init', 'eksabmhp1-dp-n-1 joinWorker'],
    );
    assert.equal(document.workflows[0]?.actions.length, 5);
    assert.deepEqual([await world.store.listHardware(), await world.store.listClusters()], [[], []]);
  });

  it('refuses the hardware file as printed with its place, and ends with 65', async () => {
    await using world = await startApiWorld();

    const { code, stdout, stderr } = await runCliProcess(world, [...plan, '--hardware', 'hardware.csv'], {
      cwd: EXAMPLE,
    });

    assert.equal(code, 65);
    assert.equal(stdout, '');
    assert.match(
      stderr,
      /^cluster\.yaml:64:5: no Hardware has label type=dp: .*did you mean to label eksabmhp1-dp-n-1/m,
    );
    assert.match(stderr, /^error: the cluster cannot be made from these files: there is one problem$/m);
  });

  it('asks the network for addresses unless told not to, and so does create', async () => {
    await using world = await startApiWorld({ planHost: TAKEN });
    const files = filesOf({ 1: 'cp', 2: 'dp' });
    const post = (path: string, skipIpCheck: boolean) =>
      world.call('POST', `/api/v1/clusters${path}`, { body: { files, skipIpCheck } });

    const refused = [await post('/plan', false), await post('', false)];
    const done = [await post('/plan', true), await post('', true)];

    for (const { status, text } of refused) {
      assert.equal(status, 400);
      assert.match(text, /the address 10\.9\.0\.200 of control plane endpoint is in use \(answers on port 80\)/);
    }
    assert.deepEqual(
      done.map(({ status }) => status),
      [200, 200],
    );
  });

  it('is asked by create: too few machines are refused before anything is stored', async () => {
    await using world = await startApiWorld();

    const { status, text } = await world.call('POST', '/api/v1/clusters', { body: { files: filesOf({ 1: 'cp' }) } });

    assert.equal(status, 400);
    assert.match(text, /no Hardware has label type=dp/);
    assert.deepEqual([await world.store.listHardware(), await world.store.listClusters()], [[], []]);
  });
});
