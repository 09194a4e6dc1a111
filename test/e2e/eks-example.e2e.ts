/** The example that was published for EKS Anywhere: its hardware CSV and its template provision a machine. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { rewrittenExample } from '#test/support/example-cluster.ts';
import { listPartitions, readFileFromDisk, statFileOnDisk } from '#test/support/lab/disk-reader.ts';
import { hardwareYaml } from '#test/support/lab-manifests.ts';
import { bottlerocketImage, GIBIBYTE } from '#test/support/test-images.ts';
import { PATIENCE_MS, PROJECT, startWorld } from '#test/support/world.ts';

const FIXTURES = join(PROJECT, 'test/fixtures/eksa-example');
const NAME = 'eksabmhp1-dp-n-1';
const MAC = '08:00:27:ac:c9:77';
const USER_DATA = '[settings.kubernetes]\ncluster-name = "mgmt"\n\n[settings.host-containers.admin]\nenabled = true\n';
const WORKFLOW = `apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata: { name: install-dp }
spec:
  templateRef: tmpl2
  hardwareSelector: { type: dp }
`;

/** What the kernel's own bootconfig tool appends for `kernel {}`: padded to 4 bytes, size, sum of bytes, magic. */
const BOOTCONFIG = Buffer.concat([
  Buffer.from('kernel {}\0\0\0'),
  littleEndian(12),
  littleEndian([...Buffer.from('kernel {}')].reduce((sum, byte) => sum + byte, 0)),
  Buffer.from('#BOOTCONFIG\n'),
]);

const NET_TOML = `version = 3

["${MAC}".static4]
addresses = ["10.77.0.31/24"]

[["${MAC}".route]]
to = "default"
via = "10.77.0.1"
route-metric = 100
`;

describe('the published example', () => {
  it('provisions a machine of type=dp with twelve partitions and its files on the twelfth, byte for byte', async () => {
    await using world = await startWorld({ name: 'eksexample', images: [bottlerocketImage()] });
    // The CSV has no column for user data; a record that has some keeps it when the CSV is applied.
    await world.apply({
      'user-data.yaml': hardwareYaml({
        name: NAME,
        mac: MAC,
        address: '10.77.0.31',
        disk: '/dev/sda',
        userData: USER_DATA,
      }),
    });
    await world.apply({
      'hardware-fixed.csv': await rewrittenExample(world, 'hardware-fixed.csv'),
      'cluster.yaml': await rewrittenExample(world, 'cluster.yaml'),
      'workflow.yaml': WORKFLOW,
    });
    assert.deepEqual((await world.record('workflow', 'install-dp'))['hardware'], [NAME]);
    const disk = await world.emptyDisk('dp.img', GIBIBYTE);

    await using vm = await world.powerOn({ firmware: 'bios', mac: MAC, disk, diskKind: 'scsi' });
    await vm.waitForConsole(/INSTALLED-OS-UP/, { timeoutMs: PATIENCE_MS });

    const userData = `${USER_DATA}\n[settings.dns]\nname-servers = ["8.8.8.8"]\n`;
    for (const [file, content] of [
      ['bootconfig.data', BOOTCONFIG],
      ['user-data.toml', Buffer.from(userData)],
      ['net.toml', Buffer.from(NET_TOML)],
    ] as const) {
      // The installed system says what it found on partition 12.
      const sum = createHash('sha256').update(content).digest('hex');
      await vm.waitForConsole(new RegExp(`${file.replaceAll('.', '\\.')}.*${content.length}.*${sum}`), {
        timeoutMs: PATIENCE_MS,
      });
    }
    await vm.powerOff();
    assert.equal((await listPartitions(disk)).length, 12);
    assert.deepEqual(await readFileFromDisk(disk, 12, '/bootconfig.data'), BOOTCONFIG);
    assert.equal((await readFileFromDisk(disk, 12, '/net.toml')).toString(), NET_TOML);
    assert.equal((await readFileFromDisk(disk, 12, '/user-data.toml')).toString(), userData);
    assert.equal(await statFileOnDisk(disk, 12, '/bootconfig.data'), '0644 0:0');
  });

  it('as printed it is refused: it has no machine of type=dp, and the error says which labels there are', async () => {
    await using world = await startWorld({ name: 'eksprinted' });
    const workflow = join(world.folder, 'workflow.yaml');
    await writeFile(workflow, WORKFLOW);
    const answer = await world.cli(
      'apply',
      '-f',
      join(FIXTURES, 'hardware.csv'),
      '-f',
      join(FIXTURES, 'cluster.yaml'),
      '-f',
      workflow,
    );

    assert.equal(answer.code, 65, answer.stdout);
    assert.match(answer.stderr, /type=dp/);
    assert.match(answer.stderr, /type=cp.*eksabmhp1-cp-n-1.*eksabmhp1-dp-n-1/);
    assert.equal((await world.cli('get', 'hardware', '-o', 'name')).stdout.trim(), '', 'nothing may be half applied');
  });
});

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
