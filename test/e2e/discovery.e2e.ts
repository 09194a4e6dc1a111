import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { templateYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld } from '#test/support/world.ts';

describe('discovery', () => {
  it('makes a Hardware with its inventory of a machine that is in no file, which a workflow then installs', async () => {
    await using world = await startWorld({
      name: 'discovery',
      images: [testImage('gz')],
      settings: { discovery: 'true', 'dhcp-pool': '10.77.0.100-10.77.0.120', 'dhcp-nameservers': '10.77.0.1' },
    });
    const disk = await world.emptyDisk('unknown.img', GIBIBYTE);
    const mac = '52:54:00:77:00:99';
    const clock = '2001-01-01T00:00:00';
    await using vm = await world.powerOn({ firmware: 'bios', mac, disk, diskKind: 'nvme', clock });

    const enrolled = await world.waitForEvent({ name: 'machine.enrolled' }, PATIENCE_MS);
    await vm.waitForConsole(/the clock said 2001-01-01T00:\S+: set to the server's/, { timeoutMs: PATIENCE_MS });

    const name = 'machine-525400770099';
    assert.equal(enrolled.hardware, name);
    const hardware = await world.record('hardware', name);
    const inventory = hardware['inventory'] as {
      disks: { device: string }[];
      interfaces: { mac: string }[];
      memoryBytes: number;
    };
    assert.equal(inventory.disks[0]?.device, '/dev/nvme0n1');
    assert.ok(inventory.interfaces.some((each) => each.mac === mac));
    assert.ok(inventory.memoryBytes > 300 * 2 ** 20, `${inventory.memoryBytes}`);

    const imageUrl = `http://${world.lab.address}:7171/images/${testImage.nameOf('gz')}`;
    await world.apply({
      'template.yaml': templateYaml({ name: 'small', imageUrl, rootPartition: testImage.rootPartition }),
      'workflow.yaml': workflowYaml('install-found', 'small', name),
    });

    await vm.waitForConsole(/INSTALLED-OS-UP.*hostname=machine-525400770099/, { timeoutMs: PATIENCE_MS });
    assert.equal((await world.record('hardware', name))['stage'], 'installed');
  });
});
