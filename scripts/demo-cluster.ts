/**
 * A cluster from its files to its last node, to look at: the two-node cluster that was published for EKS Anywhere in a private
 * network namespace, `tinsmith cluster create` with its live view, and an operator who powers on the machine that it names.
 */
import {
  CONTROL_PLANE_NODE,
  EXAMPLE_CLUSTER,
  exampleFiles,
  powerOnExample,
  WORKER_NODE,
} from '#test/support/example-cluster.ts';
import type { VirtualMachine } from '#test/support/lab/virtual-machine.ts';
import { bottlerocketImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld, type World } from '#test/support/world.ts';

export async function demoCluster(options: { readonly showConsole: boolean }): Promise<void> {
  await using world = await startWorld({ name: 'democluster', images: [bottlerocketImage()] });
  say(`server up in network namespace ${world.lab.namespace}, address ${world.lab.address}`);
  const files = await exampleFiles(world);
  const begunAt = Date.now();
  say(`tinsmith cluster create ${files.join(' ')} --yes`);
  const create = watchCreate(world, files);

  await using controlPlane = await powerOnWhenTold(world, create, CONTROL_PLANE_NODE);
  await using worker = await powerOnWhenTold(world, create, WORKER_NODE);
  if (options.showConsole) for (const vm of [controlPlane, worker]) void showConsole(vm);
  for (const vm of [controlPlane, worker]) {
    const [line] = await vm.waitForConsole(/INSTALLED-OS-UP.*/, { timeoutMs: PATIENCE_MS });
    say(`an installed system says: ${line.trim()}`);
  }
  await create.exited;

  say(`from files to a cluster of two: ${((Date.now() - begunAt) / 1000).toFixed(1)} s`);
  const described = await world.cli('cluster', 'describe', EXAMPLE_CLUSTER);
  process.stdout.write(`\n${described.stdout}\n`);
}

/** `tinsmith cluster create`, whose lines go straight to our output. */
function watchCreate(world: World, files: readonly string[]) {
  let output = '';
  const waiting = new Set<() => void>();
  const command = world.startCli(['cluster', 'create', ...files, '--yes'], (text) => {
    output += text;
    process.stdout.write(text);
    for (const look of waiting) look();
  });
  return {
    exited: command.exited,
    /** Resolves once the command said `text`; fails if it ends before. */
    async said(text: string): Promise<void> {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const look = (): void => {
        if (output.includes(text)) resolve();
      };
      waiting.add(look);
      look();
      command.exited.then(
        (code) => reject(new Error(`the command ended with ${code} before it said "${text}"`)),
        reject,
      );
      await promise;
      waiting.delete(look);
    },
  };
}

async function powerOnWhenTold(
  world: World,
  create: ReturnType<typeof watchCreate>,
  node: typeof CONTROL_PLANE_NODE | typeof WORKER_NODE,
): Promise<VirtualMachine> {
  await create.said(`power on ${node.name} (MAC ${node.mac}) now`);
  say(`powering on ${node.name}: BIOS, an empty disk of 1 GiB`);
  return powerOnExample(world, node);
}

async function showConsole({ console: lines }: VirtualMachine): Promise<void> {
  for await (const line of lines) process.stdout.write(`  | ${line}\n`);
}

function say(text: string): void {
  process.stdout.write(`demo: ${text}\n`);
}
