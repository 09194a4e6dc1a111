import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type ApiWorld, startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess, startCliProcess } from '#test/support/cli-process.ts';
import { clusterYaml, hardwareCsv } from '#test/support/cluster-files.ts';
import { newCluster, nodeClaim, nodeStart } from '#test/support/cluster-records.ts';
import { hardwareManifest } from '#test/support/records.ts';

const operator = { actor: 'operator' } as const;

/** Cluster `c1` with its control-plane node `m1` about to be installed. */
async function world(): Promise<ApiWorld> {
  const made = await startApiWorld();
  const { transitions } = made;
  await transitions.apply({ hardware: [hardwareManifest('m1', 1)], templates: [], workflows: [] }, operator);
  await transitions.createCluster(newCluster(), operator);
  await transitions.claimNode(nodeClaim('m1', { group: 'control-plane', role: 'controlPlane' }), operator);
  await transitions.startNode(nodeStart('m1', 'm1-install-1', { initialises: true }), operator);
  return made;
}

describe('tinsmith cluster', () => {
  it('lists clusters, and describes one with what each node waits for', async () => {
    await using made = await world();

    const [list, get, nodes, described] = await Promise.all([
      runCliProcess(made, ['cluster', 'list']),
      runCliProcess(made, ['get', 'clusters', '-o', 'name']),
      runCliProcess(made, ['get', 'nodes']),
      runCliProcess(made, ['describe', 'cluster', 'c1']),
    ]);

    assert.match(list.stdout, /^NAME +STATE +NODES +KUBERNETES +ENDPOINT +AGE +WAITS FOR$/m);
    assert.match(list.stdout, /^c1 +creating +0\/2 +1\.30 +10\.9\.0\.200 .*power on m1 \(MAC 02:00:00:00:00:01\) now/m);
    assert.equal(get.stdout, 'cluster/c1\n');
    assert.match(nodes.stdout, /^m1 +c1 +control-plane +provisioning +\S+ +10\.9\.0\.1 +power on m1/m);
    assert.match(described.stdout, /^ {2}m1 {2}control-plane {2}provisioning/m);
    assert.match(described.stdout, /power on m1/);
    assert.equal(
      (await runCliProcess(made, ['describe', 'hardware', 'm1'])).stdout.includes('Cluster    c1, group control-plane'),
      true,
    );
  });

  it('describes one node: what it does, of which cluster it is, and what happened', async () => {
    await using made = await world();
    await made.transitions.apply({ hardware: [hardwareManifest('m2', 2)], templates: [], workflows: [] }, operator);

    const { stdout } = await runCliProcess(made, ['describe', 'node', 'm1']);
    const json = await runCliProcess(made, ['describe', 'node', 'm1', '-o', 'json']);
    const none = await runCliProcess(made, ['describe', 'node', 'm2']);

    assert.match(stdout, /^Node +m1\nCluster +c1, group control-plane \(control plane\)\nState +provisioning for /);
    assert.match(stdout, /^Does +power on m1 \(MAC 02:00:00:00:00:01\) now/m);
    assert.match(stdout, /^Workflow +m1-install-1, pending, 0 of \d+ actions done$/m);
    assert.match(stdout, /Events \(UTC\)\n[^]*claimed/);
    assert.equal(JSON.parse(json.stdout).node.cluster, 'c1');
    assert.equal(none.code, 66);
    assert.match(none.stderr, /Hardware m2 is no node of a cluster: see tinsmith get nodes/);
  });

  it('describes one that was made anew under an old name by its own events only', async () => {
    await using made = await world();
    const { transitions } = made;
    await transitions.startClusterDelete('c1', newCluster().options, operator);
    await transitions.startRelease({ hardware: 'm1', reason: 'the cluster goes' }, operator);
    await transitions.releaseNode('m1', operator);
    await transitions.deleteCluster('c1', operator);
    await transitions.createCluster(newCluster(), operator);
    await transitions.claimNode(nodeClaim('m1'), operator);

    const { stdout } = await runCliProcess(made, ['cluster', 'describe', 'c1']);

    const events = stdout.slice(stdout.indexOf('Events')).trimEnd().split('\n').slice(1);
    assert.equal(events.length, 2, stdout);
    assert.match(events.join('\n'), /created[^]*m1 +claimed/);
  });

  it('ends by Ctrl-C without a complaint while a machine is released', async () => {
    await using made = await world();
    await using release = startCliProcess(made, ['hardware', 'release', 'm1', '--yes']);
    await release.printed('power on m1');

    release.child.kill('SIGINT');

    const { code, stderr } = await release.result;
    assert.equal(code, 130);
    assert.equal(stderr, 'the release goes on; look at it with: tinsmith describe hardware m1\n');
  });

  it('shows what happens line by line where there is no terminal, and ends when the cluster is ready', async () => {
    await using made = await world();
    await using watch = startCliProcess(made, ['cluster', 'watch', 'c1']);
    await watch.printed('▶ power on m1 (MAC 02:00:00:00:00:01) now');

    await made.transitions.installNode('m1', 'm1-install-1', operator);
    await made.transitions.readyNode('m1', operator);
    await made.transitions.settleCluster('c1', operator);
    const { code, stdout } = await watch.result;

    assert.equal(code, 0);
    assert.match(stdout, /m1 +installed for c1, control-plane\n.*m1 +ready in c1, control-plane\n/);
    assert.match(stdout, /cluster\/c1 ready\n$/);
  });

  it('goes on when nobody watches any more, and says how to come back', async () => {
    await using made = await world();
    await using watch = startCliProcess(made, ['cluster', 'watch', 'c1']);
    await watch.printed('▶ power on m1');

    watch.child.kill('SIGINT');
    const { code, stderr } = await watch.result;

    assert.equal(code, 130);
    assert.equal(stderr, 'the cluster goes on; come back with: tinsmith cluster watch c1\n');
    assert.equal((await made.store.cluster('c1'))?.state, 'creating');
  });

  it('ends with the reason when the cluster is blocked', async () => {
    await using made = await world();
    await made.transitions.blockCluster('c1', 'the group md-0 lacks one machine', operator);

    const { code, stderr } = await runCliProcess(made, ['cluster', 'watch', 'c1']);

    assert.equal(code, 75);
    assert.match(stderr, /cluster c1 cannot go on by itself: the group md-0 lacks one machine/);
    const resumed = await runCliProcess(made, ['cluster', 'resume', 'c1']);
    assert.equal(resumed.stdout, 'cluster/c1 changing\n');
  });

  it('erases nothing where nobody can be asked, unless told so', async () => {
    await using made = await world();

    for (const [argv, question] of [
      [['cluster', 'delete', 'c1'], 'Delete cluster c1? The disks of its machines are erased.'],
      [['cluster', 'scale', 'c1', '--workers', 'md-0=2'], 'Change cluster c1? Disks of machines that join or leave'],
      [['hardware', 'release', 'm1'], 'Release m1? Its disks stay as they are.'],
    ] as const) {
      const { code, stderr } = await runCliProcess(made, argv);
      assert.equal(code, 64, argv.join(' '));
      assert.ok(stderr.includes(`nobody can be asked here: add --yes to answer yes to "${question}`), stderr);
    }
    assert.equal((await made.store.cluster('c1'))?.state, 'creating');
    const deleted = await runCliProcess(made, ['cluster', 'delete', 'c1', '--yes', '--no-wait']);
    assert.match(deleted.stdout, /^m1 leaves c1 because the cluster c1 is being deleted/);
    assert.match(deleted.stdout, /cluster\/c1 is being deleted\n$/);
    assert.equal((await made.store.cluster('c1'))?.state, 'deleting');
  });

  it('waits until a deleted cluster is gone', async () => {
    await using made = await world();
    await using command = startCliProcess(made, ['cluster', 'delete', 'c1', '--yes', '--no-wipe']);
    await untilState(made, 'deleting');

    await made.transitions.startRelease({ hardware: 'm1', reason: 'the cluster goes' }, operator);
    await made.transitions.releaseNode('m1', operator);
    await made.transitions.deleteCluster('c1', operator);

    const { code, stdout } = await command.result;
    assert.equal(code, 0);
    assert.match(stdout, /cluster\/c1 deleted\n$/);
  });

  it('is created from files, and its kubeconfig printed as it is', async () => {
    await using made = await startApiWorld();
    await using folder = await mkdtempDisposable(join(tmpdir(), 'cluster-cli-'));
    const [cluster, hardware] = [join(folder.path, 'cluster.yaml'), join(folder.path, 'hardware.csv')];
    await writeFile(cluster, clusterYaml());
    await writeFile(hardware, hardwareCsv({ 1: 'cp', 2: 'dp' }));
    const argv = ['cluster', 'create', '-f', cluster, '--hardware', hardware, '--no-wait', '--retries', '4'];

    const unasked = await runCliProcess(made, argv);
    assert.equal(unasked.code, 64, unasked.stderr);
    assert.equal(await made.store.cluster('c1'), undefined);
    const created = await runCliProcess(made, [...argv, '--yes']);
    const again = await runCliProcess(made, [...argv, '--yes']);
    const { stdout } = await runCliProcess(made, ['cluster', 'kubeconfig', 'c1']);

    assert.match(created.stdout, /^Plan for the new cluster c1: Kubernetes 1\.30 by kubeadm/);
    assert.match(created.stdout, /m1 +control-plane +makes the control plane/);
    assert.match(created.stdout, /cluster\/c1 created\n$/);
    assert.doesNotMatch(again.stdout, /Plan/);
    assert.match(again.stdout, /cluster\/c1 is there: creating\n$/);
    assert.equal((await made.store.cluster('c1'))?.options.retries, 4);
    assert.match(stdout, /^kind: Config$/m);
  });

  it('takes counts as people write them, and says how when they are wrong', async () => {
    await using made = await world();
    await using folder = await mkdtempDisposable(join(tmpdir(), 'cluster-cli-'));
    await writeFile(join(folder.path, 'empty.yaml'), '');
    for (const [argv, sentence] of [
      [['scale', 'c1'], /say how many: --control-plane COUNT/],
      [['scale', 'c1', '--workers', 'md-0'], /--workers is "md-0": use GROUP=COUNT/],
      [['scale', 'c1', '--control-plane', 'three'], /--control-plane is "three": use a whole number from 1/],
      [['create', '-f', join(folder.path, 'empty.yaml'), '--retries', '-1'], /--retries needs a value/],
      [['upgrade', 'c1'], /no file is named/],
    ] as const) {
      const { code, stderr } = await runCliProcess(made, ['cluster', ...argv]);
      assert.equal(code, 64, stderr);
      assert.match(stderr, sentence);
    }
  });
});

describe('tinsmith hardware release', () => {
  it('tells what to do with the machine, and ends when it is released', async () => {
    await using made = await startApiWorld();
    const { transitions, store } = made;
    await transitions.apply({ hardware: [hardwareManifest('m1', 1)], templates: [], workflows: [] }, operator);
    await using command = startCliProcess(made, ['hardware', 'release', 'm1', '--yes']);
    await command.printed('power on m1 (MAC 02:00:00:00:00:01) now: it boots from the network and begins the wipe');
    await transitions.deleteWorkflow('m1-wipe-1', operator); // as good as done, for this test

    const { code, stdout } = await command.result;

    assert.equal(code, 0);
    assert.match(stdout, /hardware\/m1 released\n$/);
    assert.equal((await store.hardware('m1'))?.hasUserData, false);
  });

  it('says the truth of the disks, and how to leave out a wipe that was ordered before', async () => {
    await using made = await startApiWorld();
    await made.transitions.apply({ hardware: [hardwareManifest('m1', 1)], templates: [], workflows: [] }, operator);
    const release = ['hardware', 'release', 'm1'];

    const asked = await runCliProcess(made, [...release, '--no-wipe']);
    assert.match(asked.stdout, /^m1: its user data is dropped, its disks are left as they are$/m);
    assert.match(asked.stderr, /"Release m1\? Its disks stay as they are\."/);
    await runCliProcess(made, [...release, '--yes', '--no-wait']);
    const refused = await runCliProcess(made, [...release, '--no-wipe', '--yes']);
    assert.match(refused.stderr, /was ordered before and is pending: .*\(tinsmith workflow cancel m1-wipe-1\)/);
    await runCliProcess(made, ['workflow', 'cancel', 'm1-wipe-1']);
    const released = await runCliProcess(made, [...release, '--no-wipe', '--yes']);
    assert.match(released.stdout, /hardware\/m1 released\n$/);
  });

  it('does not threaten disks that nothing was written to', async () => {
    await using made = await startApiWorld();
    await made.transitions.apply({ hardware: [hardwareManifest('m1', 1)], templates: [], workflows: [] }, operator);
    await made.transitions.createCluster(newCluster(), operator);
    await made.transitions.claimNode(nodeClaim('m1'), operator);

    const { stderr } = await runCliProcess(made, ['hardware', 'release', 'm1']);

    assert.match(stderr, /"Release m1\? Its disks stay as they are\."/);
  });
});

async function untilState({ store }: ApiWorld, state: string): Promise<void> {
  for await (const _ of store.followEvents({ after: 0 }, AbortSignal.timeout(60_000))) {
    if ((await store.cluster('c1'))?.state === state) return;
  }
}
