/**
 * Where machines get the bytes of a library image from: an outside URL that is imported on first use, one another, a mirror in the rack
 * that dies, and the server, as little as can be. Everything is read back by the machines, and the disks are looked at afterwards.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from '#images/packages/run-program.ts';
import { listPartitions } from '#test/support/lab/disk-reader.ts';
import type { LabProcess } from '#test/support/lab/lab.ts';
import type { VirtualMachine } from '#test/support/lab/virtual-machine.ts';
import { actionsYaml, hardwareYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { testImage } from '#test/support/test-images.ts';
import { PROJECT, startWorld, type World } from '#test/support/world.ts';

const MIB = 2 ** 20;
const DISK_BYTES = 320 * MIB;
/** Random, so that the packed image has frames enough to share. */
const FILLER_BYTES = 32 * MIB;
const SLOW_MS = 240_000;
const PORTS = { upstream: 8081, mirror: 8082 } as const;

interface Counted {
  readonly method: string;
  readonly path?: string;
  readonly bytes?: number;
}

describe('a library image', () => {
  it('costs its publisher one request, and the server one image for two machines, or less with a mirror', {
    timeout: 420_000,
  }, async () => {
    await using world = await startWorld({
      name: 'sources',
      settings: { 'library-import': 'on', 'library-peers': 'true', 'http-egress': '10MB' },
    });
    const image = await fullerImage(world);
    const url = `http://${world.lab.address}:${PORTS.upstream}/fuller.img`;
    const upstream = await startCounting(world, [world.folder, String(PORTS.upstream), '--held']);
    await world.apply({ 'template.yaml': template(url) });

    const machines = await Promise.all([1, 2].map((number) => prepare(world, number)));
    // They all wait for the import, so they begin at once.
    for (const { name } of machines) await world.waitForEvent({ name: 'agent.connected', hardware: name }, SLOW_MS);
    upstream.process.kill('SIGUSR2');
    const logs: string[] = [];
    for (const machine of machines) logs.push(await requireInstalled(world, machine, image));

    assert.deepEqual(
      upstream.requests.filter(({ method }) => method === 'GET').map(({ path }) => path),
      ['/fuller.img'],
      'the publisher is asked once',
    );
    const { name, fileBytes } = await onlyImage(world);
    const sentBytes = await sentByServer(world);
    assert.ok(
      sentBytes <= 1.5 * fileBytes,
      `the server sent ${sentBytes} bytes of ${fileBytes} to two machines\n${logs.join('\n')}`,
    );
    for (const log of logs) assert.match(log, /got [1-9]\d* MB from 1 peer\(s\)/);

    const diesAfter = Math.round(fileBytes / 2);
    const blobs = join(world.dataFolder, 'library/blobs');
    const mirror = await startCounting(world, [blobs, String(PORTS.mirror), '--dies-after', String(diesAfter)]);
    const added = await world.cli('image', 'mirror', name, '--add', `http://${world.lab.address}:${PORTS.mirror}/`);
    assert.equal(added.code, 0, added.stderr);
    const last = await prepare(world, 3);
    await requireInstalled(world, last, image);

    assert.equal(await mirror.process.exited, 0, 'it died in the middle');
    const more = (await sentByServer(world)) - sentBytes;
    // What was under way when it died came again: at most a request of each of the agent's readers.
    assert.ok(more < fileBytes - diesAfter + 5 * 4 * MIB, `the server sent ${more} of ${fileBytes} bytes`);
    assert.ok(more > 0);
    await using installed = await world.powerOn({ name: 'disk', firmware: 'bios', mac: last.mac, disk: last.disk });
    await installed.waitForConsole(/INSTALLED-OS-UP/, { timeoutMs: 120_000 });
  });
});

interface Machine {
  readonly name: string;
  readonly mac: string;
  readonly disk: string;
  readonly workflow: string;
  readonly vm: VirtualMachine;
}

/** The small system with a large file on its root file system. Resolves to its bytes. */
async function fullerImage(world: World): Promise<Buffer> {
  const [image, filler] = [join(world.folder, 'fuller.img'), join(world.folder, 'filler')];
  await copyFile(testImage('raw'), image);
  await writeFile(filler, randomBytes(FILLER_BYTES));
  const root = (await listPartitions(image)).find(({ number }) => number === testImage.rootPartition);
  assert.ok(root);
  await runProgram(['debugfs', '-w', '-R', `write ${filler} filler`, `${image}?offset=${root.firstSector * 512}`]);
  return readFile(image);
}

function template(url: string): string {
  return actionsYaml('from-outside', [
    { image: 'image2disk', environment: { DEST_DISK: '/dev/vda', IMG_URL: url, VERIFY_DISK: 'true' } },
    { image: 'poweroff' },
  ]);
}

/** Powers the machine on with an empty disk and a workflow. */
async function prepare(world: World, number: number): Promise<Machine> {
  const machine = { name: `node-${number}`, mac: `52:54:00:77:02:0${number}`, workflow: `install-${number}` };
  await world.apply({
    [`hardware-${number}.yaml`]: hardwareYaml({ ...machine, address: `10.77.0.${30 + number}` }),
    [`workflow-${number}.yaml`]: workflowYaml(machine.workflow, 'from-outside', machine.name),
  });
  const disk = await world.emptyDisk(`${machine.name}.img`, DISK_BYTES);
  const vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk, name: machine.name });
  return { ...machine, disk, vm };
}

/** Its workflow succeeded, it said that it read its disk back, and its disk holds the image. Resolves to its log. */
async function requireInstalled(world: World, machine: Machine, image: Buffer): Promise<string> {
  const { workflow, disk, vm } = machine;
  const failed = world.waitForEvent({ name: 'workflow.failed', workflow }, SLOW_MS).then(async ({ data }) => {
    throw new Error(`${JSON.stringify(data)}\n${await world.story()}`);
  });
  await Promise.race([vm.exited, failed]);
  failed.catch(() => undefined);
  assert.equal((await world.record('workflow', workflow))['state'], 'succeeded');
  const { stdout } = await world.cli('logs', workflow);
  assert.match(stdout, /from the library, \d+ bytes fetched/);
  assert.match(stdout, /read back /);
  const found = await readFile(disk);
  // The partition table is stretched to the disk's end.
  assert.ok(found.subarray(MIB, image.length - MIB).equals(image.subarray(MIB, image.length - MIB)), `${disk} differs`);
  return stdout;
}

interface Counting {
  readonly process: LabProcess;
  readonly requests: readonly Counted[];
}

/** A server of files that counts, inside the lab, once it listens. */
async function startCounting(world: World, argv: readonly string[]): Promise<Counting> {
  const requests: Counted[] = [];
  const listening = Promise.withResolvers<void>();
  let rest = '';
  const onOutput = (text: string): void => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) requests.push(JSON.parse(line));
    if (requests.some(({ method }) => method === 'LISTEN')) listening.resolve();
  };
  const script = join(PROJECT, 'test/support/counting-server.ts');
  const process = world.lab.exec([globalThis.process.execPath, script, ...argv], { onOutput });
  const ended = process.exited.then((code) => {
    throw new Error(`the server of ${argv.join(' ')} ended with ${code}: ${rest}`);
  });
  ended.catch(() => undefined);
  await Promise.race([listening.promise, ended]);
  return { process, requests };
}

async function onlyImage(world: World): Promise<{ readonly name: string; readonly fileBytes: number }> {
  const { stdout } = await world.cli('image', 'list', '-o', 'json');
  const [image, ...more] = JSON.parse(stdout).items;
  assert.equal(more.length, 0, 'the image is imported once');
  return image;
}

/** Of all images, to all machines, once none is served any more. */
async function sentByServer(world: World): Promise<number> {
  for (const deadline = AbortSignal.timeout(20_000); ; await sleep(200, undefined, { signal: deadline })) {
    const { stdout } = await world.cli('image', 'serving', '-o', 'json');
    if (JSON.parse(stdout).machines.length === 0) break;
  }
  const log = await readFile(join(world.lab.logDirectory, 'server.log'), 'utf8');
  const visits = log.split('\n').filter((line) => line.includes('boot.imageServed'));
  return visits.reduce((sum, line) => sum + Number(/"?sentBytes"?[:=] ?(\d+)/.exec(line)?.[1]), 0);
}
