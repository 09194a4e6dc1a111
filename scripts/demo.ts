/**
 * A machine from power-on to its own operating system, to look at: a private network namespace, `tinsmith serve` in it, an
 * emulated machine with an empty disk, and the live view of `tinsmith watch`. Ends when the installed system says that it is up.
 */
import { parseArgs } from 'node:util';
import { hardwareYaml, templateYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld, type World } from '#test/support/world.ts';
import { demoCluster } from './demo-cluster.ts';

const HELP = `npm run demo [-- [cluster] [OPTIONS]]

Sets up, builds, and provisions an emulated machine in a private network namespace; with "cluster" the two machines of
the cluster that was published for EKS Anywhere, control plane first.

  --uefi          UEFI firmware instead of BIOS
  --memory MIB    memory of the machine (default 512)
  --console       show everything the machines print
  --help          this text
`;

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    uefi: { type: 'boolean', default: false },
    memory: { type: 'string', default: '512' },
    console: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
const [what] = positionals;
if (values.help) process.stdout.write(HELP);
else if (what === 'cluster') await demoCluster({ showConsole: values.console });
else if (what !== undefined) {
  process.stderr.write(`there is no demo "${what}": use cluster, or nothing\n`);
  process.exitCode = 64;
} else
  await demo({
    firmware: values.uefi ? 'uefi' : 'bios',
    memoryMiB: Number(values.memory),
    showConsole: values.console,
  });

async function demo(options: { firmware: 'bios' | 'uefi'; memoryMiB: number; showConsole: boolean }): Promise<void> {
  await using world = await startWorld({ name: 'demo', images: [testImage('zst')] });
  say(`server up in network namespace ${world.lab.namespace}, address ${world.lab.address}`);
  const imageUrl = `http://${world.lab.address}:7171/images/${testImage.nameOf('zst')}`;
  await world.apply({
    'hardware.yaml': hardwareYaml(machine),
    'template.yaml': templateYaml({ name: 'small', imageUrl, rootPartition: testImage.rootPartition }),
    'workflow.yaml': workflowYaml('install-node-1', 'small', machine.name),
  });
  say('applied: one Hardware, one Template, one Workflow');
  const disk = await world.emptyDisk('node-1.img', GIBIBYTE);

  say(`power on: ${options.firmware} firmware, ${options.memoryMiB} MiB, an empty disk of 1 GiB`);
  const poweredOnAt = Date.now();
  await using watch = watchLive(world);
  await using vm = await world.powerOn({
    name: machine.name,
    firmware: options.firmware,
    mac: machine.mac,
    memoryMiB: options.memoryMiB,
    disk,
  });
  if (options.showConsole) void showConsole(vm.console);
  const [line] = await vm.waitForConsole(/INSTALLED-OS-UP.*/, { timeoutMs: PATIENCE_MS });
  await watch.exited;

  say(`the installed system says: ${line.trim()}`);
  say(`power-on to installed system: ${((Date.now() - poweredOnAt) / 1000).toFixed(1)} s`);
  const described = await world.cli('describe', 'workflow', 'install-node-1');
  process.stdout.write(`\n${described.stdout}\n`);
}

/** `tinsmith watch`, whose lines go straight to our output. */
function watchLive(world: World): ReturnType<World['startCli']> {
  return world.startCli(['watch', machine.name, '--until', 'installed'], (text) => process.stdout.write(text));
}

async function showConsole(lines: AsyncIterable<string>): Promise<void> {
  for await (const line of lines) process.stdout.write(`  | ${line}\n`);
}

function say(text: string): void {
  process.stdout.write(`demo: ${text}\n`);
}
