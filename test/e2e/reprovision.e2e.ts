import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hardwareYaml, templateYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld } from '#test/support/world.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };

describe('a machine that boots from the network first', () => {
  for (const firmware of ['bios', 'uefi'] as const) {
    it(`boots its disk once it is installed, and is installed again when a new workflow asks (${firmware})`, async () => {
      await using world = await startWorld({ name: `again${firmware}`, images: [testImage('zst')] });
      const imageUrl = `http://${world.lab.address}:7171/images/${testImage.nameOf('zst')}`;
      await world.apply({
        'hardware.yaml': hardwareYaml(machine),
        'template.yaml': templateYaml({
          name: 'first',
          hostname: 'first-life',
          imageUrl,
          rootPartition: testImage.rootPartition,
        }),
        'workflow.yaml': workflowYaml('install-1', 'first', machine.name),
      });
      const disk = await world.emptyDisk('node-1.img', GIBIBYTE);
      await using vm = await world.powerOn({ firmware, mac: machine.mac, disk, bootOrder: 'network' });
      await vm.waitForConsole(/INSTALLED-OS-UP.*hostname=first-life/, { timeoutMs: PATIENCE_MS });

      const position = vm.console.position;
      await world.apply({
        'template-2.yaml': templateYaml({
          name: 'second',
          hostname: 'second-life',
          imageUrl,
          rootPartition: testImage.rootPartition,
        }),
        'workflow-2.yaml': workflowYaml('install-2', 'second', machine.name),
      });
      assert.equal((await world.record('hardware', 'node-1'))['netboot'], true);
      await vm.reset();

      await vm.waitForConsole(/INSTALLED-OS-UP.*hostname=second-life/, { timeoutMs: PATIENCE_MS, from: position });
      assert.equal((await world.record('workflow', 'install-2'))['state'], 'succeeded');
      assert.equal((await world.record('workflow', 'install-1'))['state'], 'succeeded');
    });
  }
});
