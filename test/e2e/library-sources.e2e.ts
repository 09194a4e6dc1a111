/**
 * Where machines get the bytes of a library image from: outside URLs that are imported on first use, one another, mirrors in the rack of
 * which one dies, and the server, as little as can be. The publisher and the mirror that lives are known by the site's own authority
 * only. The disks are read back by the machines, and looked at afterwards.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProgram } from '#images/packages/run-program.ts';
import { imageFixture } from '#test/support/disk-image-fixtures.ts';
import { listPartitions } from '#test/support/lab/disk-reader.ts';
import type { LabProcess } from '#test/support/lab/lab.ts';
import { SITE } from '#test/support/lab/namespace.ts';
import type { VirtualMachine } from '#test/support/lab/virtual-machine.ts';
import { actionsYaml, hardwareYaml, type LabAction, workflowYaml } from '#test/support/lab-manifests.ts';
import { makeAuthority } from '#test/support/site-authority.ts';
import { testImage } from '#test/support/test-images.ts';
import { PATIENCE_MS, PROJECT, startWorld, type World } from '#test/support/world.ts';

const MIB = 2 ** 20;
const DISK_BYTES = 320 * MIB;
/** Random, so that the packed image has frames enough to share. */
const FILLER_BYTES = 32 * MIB;
const PORTS = { upstream: 8081, dying: 8082, healthy: 8083 } as const;

interface Counted {
  readonly method: string;
  readonly path?: string;
  readonly bytes?: number;
}

describe('a library image', () => {
  it('costs its publisher one request, and the server clearly less than what three machines write, or less with mirrors', async (t) => {
    await using authority = await mkdtempDisposable(join(tmpdir(), 'tinsmith-authority-'));
    makeAuthority(authority.path, SITE.address);
    await using world = await startWorld({
      name: 'sources',
      settings: {
        'library-import': 'on',
        'library-peers': 'true',
        'http-egress': '10MB',
        'tls-ca': join(authority.path, 'ca.pem'),
      },
    });
    const image = await fullerImage(world);
    await writeFile(join(world.folder, 'disk.qcow2'), imageFixture('zstd.qcow2'));
    const publisher = `https://${SITE.address}:${PORTS.upstream}`;
    const tls = ['--tls', authority.path];
    const upstream = await startCounting(world, [world.folder, String(PORTS.upstream), '--held', ...tls]);
    await world.apply({ 'template.yaml': template('from-outside', [toDisk(`${publisher}/fuller.img`)]) });

    const machines = await Promise.all(
      [1, 2, 3].map(async (number) => powerOn(world, await prepare(world, number, 'from-outside'))),
    );
    // They all wait for the import, so they begin at once.
    for (const { name } of machines) await world.waitForEvent({ name: 'agent.connected', hardware: name }, PATIENCE_MS);
    upstream.process.kill('SIGUSR2');
    const logs: string[] = [];
    for (const machine of machines) logs.push(await requireInstalled(world, machine, image));

    assert.deepEqual(
      upstream.requests.filter(({ method }) => method === 'GET').map(({ path }) => path),
      ['/fuller.img'],
      'the publisher is asked once',
    );
    const { name, fileBytes } = await importedFrom(world, '/fuller.img');
    const sentBytes = await sentByServer(world);
    const told = `the server sent ${sentBytes} bytes of ${fileBytes} to three machines`;
    t.diagnostic(told);
    // Three emulated machines on two processors answer one another late: 1.8 images were seen. Without peers it is 3.
    assert.ok(sentBytes <= 2.3 * fileBytes, `${told}\n${logs.join('\n')}`);
    for (const log of logs) assert.match(log, /got [1-9]\d* MB from [12] peer\(s\)/);

    const diesAfter = Math.round(fileBytes / 2);
    const blobs = join(world.dataFolder, 'library/blobs');
    const dying = await startCounting(world, [blobs, String(PORTS.dying), '--dies-after', String(diesAfter)]);
    const healthy = await startCounting(world, [blobs, String(PORTS.healthy), ...tls]);
    const two = [toDisk(`${publisher}/fuller.img`), fromQcow2(`${publisher}/disk.qcow2`)];
    await world.apply({ 'two.yaml': template('two-images', two) });
    const second = await world.emptyDisk('second.img', 64 * MIB);
    const prepared = await prepare(world, 4, 'two-images');
    // The import begins when the workflow is there; the machine is to know all mirrors when it asks.
    const qcow2 = await importedFrom(world, '/disk.qcow2');
    await addMirror(world, name, `http://${SITE.address}:${PORTS.dying}/`);
    await addMirror(world, qcow2.name, `http://${SITE.address}:${PORTS.dying}/`);
    await addMirror(world, qcow2.name, `https://${SITE.address}:${PORTS.healthy}/`);
    const last = await powerOn(world, prepared, second);
    const log = await requireInstalled(world, last, image);

    assert.equal(await dying.process.exited, 0, 'it died in the middle');
    const more = (await sentByServer(world)) - sentBytes;
    // What was under way when it died came again: at most a request of each of the agent's readers.
    assert.ok(more < fileBytes - diesAfter + 5 * 4 * MIB, `the server sent ${more} of ${fileBytes} bytes`);
    assert.ok(more > 0);
    // Its frames, all of them, by a certificate that the machine was told to trust.
    const given = healthy.requests.filter(({ path }) => path?.endsWith('/image.zst') === true);
    const givenBytes = given.reduce((sum, { bytes = 0 }) => sum + bytes, 0);
    assert.ok(givenBytes > 0.9 * qcow2.fileBytes, `it gave ${givenBytes} of ${qcow2.fileBytes} bytes\n${log}`);
    requireHolds(second, await readFile(second), imageFixture('raw.img'));
    await using installed = await world.powerOn({ name: 'disk', firmware: 'bios', mac: last.mac, disk: last.disk });
    await installed.waitForConsole(/INSTALLED-OS-UP/, { timeoutMs: PATIENCE_MS });
  });
});

interface Prepared {
  readonly name: string;
  readonly mac: string;
  readonly workflow: string;
}

interface Machine extends Prepared {
  readonly disk: string;
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

function template(name: string, writes: readonly LabAction[]): string {
  return actionsYaml(name, [...writes, { image: 'poweroff' }]);
}

function toDisk(url: string): LabAction {
  return { image: 'image2disk', environment: { DEST_DISK: '/dev/vda', IMG_URL: url, VERIFY_DISK: 'true' } };
}

function fromQcow2(url: string): LabAction {
  return { image: 'qemuimg2disk', environment: { DEST_DISK: '/dev/vdb', IMG_URL: url } };
}

/** A record of a machine, and a workflow. */
async function prepare(world: World, number: number, templateName: string): Promise<Prepared> {
  const machine = { name: `node-${number}`, mac: `52:54:00:77:02:0${number}`, workflow: `install-${number}` };
  await world.apply({
    [`hardware-${number}.yaml`]: hardwareYaml({ ...machine, address: `10.77.0.${30 + number}` }),
    [`workflow-${number}.yaml`]: workflowYaml(machine.workflow, templateName, machine.name),
  });
  return machine;
}

/** Powers it on with an empty disk, perhaps two. */
async function powerOn(world: World, machine: Prepared, second?: string): Promise<Machine> {
  const disk = await world.emptyDisk(`${machine.name}.img`, DISK_BYTES);
  const moreDisks = second === undefined ? [] : [{ file: second, kind: 'virtio' as const, serial: 'second' }];
  const vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk, name: machine.name, moreDisks });
  return { ...machine, disk, vm };
}

/** Its workflow succeeded, it said that it read its disk back, and its disk holds the image. Resolves to its log. */
async function requireInstalled(world: World, machine: Machine, image: Buffer): Promise<string> {
  const { workflow, disk, vm } = machine;
  const failed = world.waitForEvent({ name: 'workflow.failed', workflow }, PATIENCE_MS).then(async ({ data }) => {
    throw new Error(`${JSON.stringify(data)}\n${world.story()}`);
  });
  await Promise.race([vm.exited, failed]);
  failed.catch(() => undefined);
  assert.equal((await world.record('workflow', workflow))['state'], 'succeeded');
  const { stdout } = await world.cli('logs', workflow);
  assert.match(stdout, /from the library, \d+ bytes fetched/);
  assert.match(stdout, /read back /);
  requireHolds(disk, await readFile(disk), image);
  return stdout;
}

/** All but its two ends: the partition table is stretched to the disk's end. */
function requireHolds(name: string, found: Buffer, image: Buffer): void {
  const [expected, middle] = [image, found].map((bytes) => bytes.subarray(MIB, image.length - MIB));
  assert.ok(expected !== undefined && middle?.equals(expected), `${name} differs`);
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

interface Imported {
  readonly name: string;
  readonly fileBytes: number;
  readonly source: string;
}

/** The one image that came from there, once it is imported. */
async function importedFrom(world: World, path: string): Promise<Imported> {
  for (const deadline = AbortSignal.timeout(PATIENCE_MS); ; await sleep(200, undefined, { signal: deadline })) {
    const { stdout } = await world.cli('image', 'list', '-o', 'json');
    const items: readonly Imported[] = JSON.parse(stdout).items;
    const [image, ...more] = items.filter(({ source }) => source.endsWith(path));
    assert.equal(more.length, 0, 'the image is imported once');
    if (image?.fileBytes !== undefined) return image;
  }
}

async function addMirror(world: World, name: string, url: string): Promise<void> {
  const added = await world.cli('image', 'mirror', name, '--add', url);
  assert.equal(added.code, 0, added.stderr);
}

/** Of all images, to all machines, once none is served any more. */
async function sentByServer(world: World): Promise<number> {
  for (const deadline = AbortSignal.timeout(PATIENCE_MS); ; await sleep(200, undefined, { signal: deadline })) {
    const { stdout } = await world.cli('image', 'serving', '-o', 'json');
    if (JSON.parse(stdout).machines.length === 0) break;
  }
  const visits = world.said.split('\n').filter((line) => line.includes('boot.imageServed'));
  return visits.reduce((sum, line) => sum + Number(/"?sentBytes"?[:=] ?(\d+)/.exec(line)?.[1]), 0);
}
