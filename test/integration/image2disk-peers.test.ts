/** Whole agents that write one library image at once, with peers switched on, from a server whose egress is limited. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runActionWithPolicy } from '#agent/actions/run-action.ts';
import { folderMachine } from '#agent/machine/folder-machine.ts';
import { FRAME_BYTES } from '#proto/library-index.ts';
import { ImageAdmission } from '#server/boot/image-admission.ts';
import { startAgentWorld } from '#test/support/agent-world.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { addImage, startLibrarySite } from '#test/support/library-site.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';

const MIB = 1 << 20;
const FRAMES = 40;
const DISK_BYTES = FRAMES * FRAME_BYTES + 5 * MIB;
const MACHINES = [1, 2, 3, 4];
const clock = (): Date => new Date();

function makeImage(): Buffer {
  const whole = Buffer.alloc(FRAMES * FRAME_BYTES);
  for (let frame = 0; frame < FRAMES; frame++) randomBytes(512 << 10).copy(whole, frame * FRAME_BYTES + MIB);
  diskImage().copy(whole);
  return whole;
}

describe('image2disk on four machines at once, with peers', () => {
  it('costs the server about one image, and says who gave how much', async (test) => {
    await using admission = new ImageAdmission({ streams: 8, egress: 5e6, clock, log: { info: () => undefined } });
    await using site = await startLibrarySite({ admission });
    const image = makeImage();
    await addImage(site.library, 'test', image);
    await using world = await startAgentWorld({ peers: true });
    const library = { publicKey: site.library.publicKey, mirrors: [new URL('library/', site.url).href], peers: true };
    const environment = { IMG_URL: 'library:test', DEST_DISK: '/dev/sda' };
    const disks = MACHINES.map((number) => {
      const command = runTaskCommand(`w${number}`, [{ builtIn: 'image2disk', environment, timeoutMs: 120_000 }]);
      world.engine.command(`m${number}`, { ...command, facts: { ...command.facts, library } });
      return folderMachine({ folder: join(site.folder, `m${number}`), disks: { '/dev/sda': DISK_BYTES } });
    });

    for (const number of MACHINES) {
      const machine = disks[number - 1];
      if (machine === undefined) throw new Error('there is no such machine');
      world.startAgent(await world.settings(number), { machine, runAction: runActionWithPolicy });
    }
    const isOver = (): boolean => world.engine.story().filter((line) => line.startsWith('finished')).length === 4;
    while (!isOver()) await world.engine.until(isOver, 'four installations').catch(() => undefined);

    for (const machine of disks) {
      const found = await readFile(machine.diskFile('/dev/sda'));
      assert.ok(found.subarray(MIB, image.length).equals(image.subarray(MIB)));
    }
    const folder = await site.library.folderOf('test');
    const { size } = await stat(join(folder ?? '', 'image.zst'));
    test.diagnostic(`the server sent ${(site.sentBytes() / size).toFixed(2)} images to 4 machines`);
    assert.ok(site.sentBytes() <= 1.5 * size, `${site.sentBytes()} of ${size}`);
    const told = world.engine
      .logText()
      .filter((line) => /^got \d+ MB from 3 peer\(s\), \d+ MB from the server$/.test(line));
    assert.equal(told.length, 4, world.engine.logText().join('\n'));
  });
});
