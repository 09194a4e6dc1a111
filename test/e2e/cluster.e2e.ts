/** The published two-node cluster: its files, one command, two machines powered on; and its end. */
import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  CONTROL_PLANE_NODE,
  EXAMPLE_CLUSTER,
  exampleFiles,
  powerOnExample,
  WORKER_NODE,
} from '#test/support/example-cluster.ts';
import { readFileFromDisk } from '#test/support/lab/disk-reader.ts';
import type { VirtualMachine } from '#test/support/lab/virtual-machine.ts';
import { bottlerocketImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld, type World } from '#test/support/world.ts';

describe('the published cluster', () => {
  it('is made by one command, control plane first, while a worker that is on already waits, and unmade by another', async () => {
    await using world = await startWorld({ name: 'ekscluster', images: [bottlerocketImage()] });
    const create = startCommand(world, ['cluster', 'create', ...(await exampleFiles(world)), '--yes']);
    await create.printed(`power on ${CONTROL_PLANE_NODE.name} (MAC ${CONTROL_PLANE_NODE.mac}) now`);

    await using worker = await powerOnExample(world, WORKER_NODE);
    await world.waitForEvent({ name: 'agent.connected', hardware: WORKER_NODE.name }, PATIENCE_MS);
    assert.equal(await nodeState(world, WORKER_NODE.name), 'claimed', 'it waits for its turn');
    await using controlPlane = await powerOnExample(world, CONTROL_PLANE_NODE);
    await world.waitForEvent({ name: 'node.ready', hardware: CONTROL_PLANE_NODE.name }, PATIENCE_MS);
    await world.waitForEvent({ name: 'node.ready', hardware: WORKER_NODE.name }, PATIENCE_MS);
    await Promise.all(
      [controlPlane, worker].map((vm) => vm.waitForConsole(/INSTALLED-OS-UP/, { timeoutMs: PATIENCE_MS })),
    );

    assert.equal(await create.exited, 0, create.output());
    assert.match(create.output(), /cluster\/mgmt ready\n$/);
    const inOrder = world.seen.filter(({ name }) => name === 'node.ready').map(({ hardware }) => hardware);
    assert.deepEqual(inOrder, [CONTROL_PLANE_NODE.name, WORKER_NODE.name]);
    const [first, second] = await Promise.all([CONTROL_PLANE_NODE, WORKER_NODE].map((node) => userDataOf(world, node)));
    assert.match(first ?? '', /^\[settings\.kubernetes\]$/m);
    assert.match(second ?? '', /api-server = "https:\/\/10\.77\.0\.41:6443"/);
    const served = await world.cli('cluster', 'kubeconfig', EXAMPLE_CLUSTER);
    assert.match(served.stdout, /server: https:\/\/10\.77\.0\.41:6443/);

    // Deleted: the worker first, each wiped and switched off.
    const remove = startCommand(world, ['cluster', 'delete', EXAMPLE_CLUSTER, '--yes']);
    for (const [vm, node] of [
      [worker, WORKER_NODE],
      [controlPlane, CONTROL_PLANE_NODE],
    ] as const) {
      await remove.printed(`power-cycle ${node.name} (MAC ${node.mac}) now`);
      await vm.reset();
      await world.waitForEvent({ name: 'node.released', hardware: node.name }, PATIENCE_MS);
      await isOff(vm);
      assert.ok(
        (await firstBytes(world, node)).every((byte) => byte === 0),
        `the disk of ${node.name} is empty`,
      );
    }
    assert.equal(await remove.exited, 0, remove.output());
    const machines = await world.cli('get', 'hardware');
    assert.match(machines.stdout, /eksabmhp1-cp-n-1 +discovered .* on$/m);
    assert.equal((await world.cli('cluster', 'list', '-o', 'name')).stdout, '');
  });
});

async function userDataOf(world: World, { name }: { readonly name: string }): Promise<string> {
  return (await readFileFromDisk(join(world.folder, `${name}.img`), 12, '/user-data.toml')).toString();
}

async function firstBytes(world: World, { name }: { readonly name: string }): Promise<Buffer> {
  const file = await open(join(world.folder, `${name}.img`));
  try {
    return (await file.read(Buffer.alloc(1024 * 1024), 0, 1024 * 1024, 0)).buffer;
  } finally {
    await file.close();
  }
}

/** Waits until a machine has switched itself off. */
async function isOff(vm: VirtualMachine): Promise<void> {
  const isLate = delay(PATIENCE_MS, true, { ref: false });
  assert.ok((await Promise.race([vm.exited, isLate])) !== true, 'the machine is still on');
}

function startCommand(world: World, argv: readonly string[]) {
  let output = '';
  const waiting: { readonly text: string; readonly done: () => void }[] = [];
  const command = world.startCli(argv, (text) => {
    output += text;
    for (const { text: wanted, done } of waiting) if (output.includes(wanted)) done();
  });
  return {
    exited: command.exited,
    output: () => output,
    /** Resolves once the command said `text`; fails if it ends before. */
    async printed(text: string): Promise<void> {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ text, done: resolve });
      if (output.includes(text)) return;
      const ended = command.exited.then((code) => {
        throw new Error(`${argv.join(' ')} ended with ${code} before it said "${text}": ${output}`);
      });
      await Promise.race([promise, ended]);
      ended.catch(() => undefined); // later its end is what is waited for
    },
  };
}

async function nodeState(world: World, name: string): Promise<unknown> {
  const cluster = await world.record('cluster', EXAMPLE_CLUSTER);
  const nodes = cluster['nodes'] as readonly { readonly hardware: string; readonly state: string }[];
  return nodes.find(({ hardware }) => hardware === name)?.state;
}
