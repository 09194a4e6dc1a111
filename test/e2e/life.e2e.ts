/** One machine's whole life, from power-on to its own operating system, on BIOS and on UEFI firmware. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { hardwareYaml, templateYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, type SeenEvent, startWorld, type World } from '#test/support/world.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };

describe('a machine', () => {
  for (const firmware of ['bios', 'uefi'] as const) {
    it(`goes from power-on to its own operating system with ${firmware} firmware`, async (t) => {
      await using world = await startWorld({ name: `life${firmware}`, images: [testImage('zst')] });
      await applyInstallation(world);
      const disk = await world.emptyDisk('node-1.img', GIBIBYTE);

      const poweredOnAt = Date.now();
      await using vm = await world.powerOn({ firmware, mac: machine.mac, disk });
      await vm.waitForConsole(/INSTALLED-OS-UP.*hostname=node-1/, { timeoutMs: PATIENCE_MS });

      const upAt = Date.now();
      await world.waitForEvent({ name: 'machine.installed' }, PATIENCE_MS);
      assert.deepEqual(stagesOf(world), ['discovered', 'booting', 'enrolled', 'provisioning', 'installed']);
      const workflow = await world.record('workflow', 'install-1');
      assert.equal(workflow['state'], 'succeeded');
      assert.equal(workflow['attempt'], 1);
      const hardware = await world.record('hardware', 'node-1');
      assert.equal(hardware['stage'], 'installed');
      assert.equal(hardware['netboot'], false);
      assert.equal(inventoryDisk(hardware), GIBIBYTE);
      report(t, world, { firmware, poweredOnAt, upAt });
    });
  }
});

async function applyInstallation(world: World): Promise<void> {
  const imageUrl = `http://${world.lab.address}:7171/images/${testImage.nameOf('zst')}`;
  await world.apply({
    'hardware.yaml': hardwareYaml(machine),
    'template.yaml': templateYaml({ name: 'small', imageUrl, rootPartition: testImage.rootPartition }),
    'workflow.yaml': workflowYaml('install-1', 'small', machine.name),
  });
}

function stagesOf(world: World): string[] {
  return world.seen
    .filter((event) => event.name.startsWith('machine.') && event.name !== 'machine.ready')
    .map((event) => event.name.slice('machine.'.length));
}

function inventoryDisk(hardware: Record<string, unknown>): unknown {
  const inventory = hardware['inventory'] as { readonly disks: readonly { readonly sizeBytes: number }[] };
  return inventory.disks[0]?.sizeBytes;
}

/** Figures of the run; the goals are the issue's, on an idle machine. */
function report(t: TestContext, world: World, run: { firmware: string; poweredOnAt: number; upAt: number }): void {
  const started = world.seen.filter(({ name }) => name === 'action.started').map(timeOf);
  const finished = world.seen.filter(({ name }) => name === 'action.finished').map(timeOf);
  const [firstStart = Number.NaN] = started;
  const gaps = finished.slice(1, -1).map((end, index) => (started[index + 2] ?? Number.NaN) - end);
  t.diagnostic(`${run.firmware}: power-on to first action ${seconds(firstStart - run.poweredOnAt)}`);
  t.diagnostic(`${run.firmware}: image written in ${seconds((finished[0] ?? Number.NaN) - firstStart)}`);
  t.diagnostic(`${run.firmware}: last byte to installed system ${seconds(run.upAt - (finished[0] ?? Number.NaN))}`);
  t.diagnostic(`${run.firmware}: power-on to installed system ${seconds(run.upAt - run.poweredOnAt)}`);
  t.diagnostic(`${run.firmware}: between two trivial actions ${gaps.map((gap) => `${gap} ms`).join(', ')}`);
}

function timeOf(event: SeenEvent): number {
  return Date.parse(event.at);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
