/** One thing is killed in the middle of the image; the end must be the same as if nothing had happened. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BootFolder, bootFolderWith } from '#test/support/boot-folder.ts';
import { hardwareYaml, templateYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { GIBIBYTE, testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld, type World } from '#test/support/world.ts';

const machine = { name: 'node-1', mac: '52:54:00:77:00:01', address: '10.77.0.21' };
const INSTALLED = /INSTALLED-OS-UP.*hostname=node-1/;
/** A raw image and this: some twelve seconds to the disk, so that there is a middle however late a busy test hears of it. */
const SLOWLY = { 'http-egress': '20MB' };

describe('in the middle of the image', () => {
  it('the server is killed and started again: the same attempt goes on to the installed system', async () => {
    await using world = await startWorld({ name: 'serverkill', settings: SLOWLY });
    const disk = await installation(world);
    await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk });
    await untilImageIsHalfWritten(world);

    await world.killServer();
    await world.startServer();

    await vm.waitForConsole(INSTALLED, { timeoutMs: PATIENCE_MS });
    const workflow = await world.record('workflow', 'install-1');
    assert.deepEqual([workflow['state'], workflow['attempt']], ['succeeded', 1]);
    assert.equal((await world.record('hardware', 'node-1'))['stage'], 'installed');
    assert.equal(world.seen.filter(({ name }) => name === 'action.started').length, 4);
  });

  it('the agent process is killed: the next attempt on the same boot ends with the installed system', async () => {
    // Baked in with --add: once 32 MiB are on the disk it kills the agent, once.
    await using boot: BootFolder = await bootFolderWith(async (folder) => {
      await mkdir(join(folder, 'usr/sbin'), { recursive: true });
      await writeFile(join(folder, 'usr/sbin/tinsmith-disk-links'), AGENT_KILLER, { mode: 0o755 });
    });
    await using world = await startWorld({ name: 'agentkill', settings: SLOWLY, bootFolder: boot.path });
    const disk = await installation(world);
    await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk });

    await vm.waitForConsole(/agent-killer: killed/, { timeoutMs: PATIENCE_MS });
    await vm.waitForConsole(INSTALLED, { timeoutMs: PATIENCE_MS });

    const workflow = await world.record('workflow', 'install-1');
    assert.deepEqual([workflow['state'], workflow['attempt']], ['succeeded', 2]);
    assert.ok(world.seen.some(({ name }) => name === 'workflow.lost'));
  });

  it('the machine loses power: its next boot starts the next attempt', async () => {
    await using world = await startWorld({ name: 'powercut', settings: SLOWLY });
    const disk = await installation(world);
    await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk });
    await untilImageIsHalfWritten(world);

    await vm.powerOff();
    await vm.powerOn();

    await vm.waitForConsole(INSTALLED, { timeoutMs: PATIENCE_MS });
    const workflow = await world.record('workflow', 'install-1');
    assert.deepEqual([workflow['state'], workflow['attempt']], ['succeeded', 2]);
  });
});

const AGENT_KILLER = `#!/bin/sh
disk=vda
until [ "$(awk -v d=$disk '$3 == d { print $10 }' /proc/diskstats)" -gt 65536 ] 2>/dev/null; do usleep 50000; done
killall -9 tinsmith-agent && echo 'agent-killer: killed'
`;

/** Returns the machine's disk. */
async function installation(world: World): Promise<string> {
  const imageUrl = await world.addImage(testImage('raw'));
  await world.apply({
    'hardware.yaml': hardwareYaml(machine),
    'template.yaml': templateYaml({ name: 'small', imageUrl, rootPartition: testImage.rootPartition }),
    'workflow.yaml': workflowYaml('install-1', 'small', machine.name),
  });
  return world.emptyDisk('node-1.img', GIBIBYTE);
}

async function untilImageIsHalfWritten(world: World): Promise<void> {
  await world.waitForEvent({ name: 'action.started' }, PATIENCE_MS);
  let from = 0;
  for (;;) {
    const progress = await world.waitForEvent({ name: 'action.progress' }, PATIENCE_MS, from);
    from = world.seen.indexOf(progress) + 1;
    const done = Number(progress.data['done']);
    const total = Number(progress.data['total']);
    assert.ok(!(done >= total), 'the image was written before anything could be killed');
    if (done > total / 4) return;
  }
}
