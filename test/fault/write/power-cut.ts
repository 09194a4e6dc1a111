import assert from 'node:assert/strict';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LibraryIndex, parseLibraryIndex } from '#proto/library-index.ts';
import { NbdDisk, type NbdFault } from '#test/support/lab/nbd-disk.ts';
import type { VirtualMachine } from '#test/support/lab/virtual-machine.ts';
import { hardwareYaml, templateYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { testImage } from '#test/support/test-images.ts';
import { startWorld, type World } from '#test/support/world.ts';
import type { FaultPart, Random, RoundContext } from '../fault-run.ts';
import { DiskContents } from './disk-contents.ts';

const MIB = 1 << 20;
const UP = /INSTALLED-OS-UP/;
/** Under emulation, beside other work. */
const SLOW_MS = 400_000;

type VmFault = 'power cut' | 'power cut, flushes are lies' | 'a byte cannot be written' | 'the pool is full';
/** In this order, again and again: the first two are a short run's. Raw images take longest, and are gone on with. */
const ROUNDS: readonly { readonly fault: VmFault; readonly image: 'library' | 'raw' }[] = [
  { fault: 'power cut', image: 'library' },
  { fault: 'a byte cannot be written', image: 'library' },
  { fault: 'power cut', image: 'library' },
  { fault: 'power cut, flushes are lies', image: 'library' },
  { fault: 'power cut', image: 'raw' },
  { fault: 'the pool is full', image: 'library' },
  { fault: 'power cut, flushes are lies', image: 'library' },
];

/** Whole machines, with real kernels and firmware. Needs root, QEMU and what `npm run e2e` builds. */
export const powerCut: FaultPart = {
  name: 'power-cut',
  summary:
    'Emulated machines lose power at a random moment, or have a bad disk, then boot from the network and end installed.',
  rounds: ROUNDS.length,
  roundMs: 900_000,
  start: async ({ rounds, random }, cleanup) => {
    const world = cleanup.use(await startWorld({ name: 'powercuts' }));
    const raw = await world.addImage(testImage('raw'));
    const added = await world.cli('image', 'add', 'small', testImage('raw'));
    assert.equal(added.code, 0, added.stderr);
    for (const [name, imageUrl] of [
      ['raw', raw],
      ['library', 'library:small'],
    ] as const) {
      const template = templateYaml({ name, imageUrl, rootPartition: testImage.rootPartition });
      await world.apply({ [`${name}.yaml`]: template });
    }
    const image = await readFile(testImage('raw'));
    const place = new Place(world, random, {
      image,
      contents: new DiskContents(image.length + 64 * MIB, image),
      index: await indexOf(world, 'small'),
    });
    return {
      count: rounds,
      run: async (round, context, label) => {
        const chosen = ROUNDS[(round - 1) % ROUNDS.length];
        assert.ok(chosen !== undefined);
        label(`${chosen.fault}, ${chosen.image} image`);
        const figures = await place.round(chosen, round, context);
        return { label: `${chosen.fault}, ${chosen.image} image`, figures };
      },
    };
  },
};

interface Site {
  readonly machine: string;
  readonly mac: string;
  readonly workflow: string;
  /** Of its disk. */
  readonly file: string;
  /** Where its events begin. */
  readonly from: number;
}

interface Expected {
  readonly image: Buffer;
  readonly contents: DiskContents;
  /** Of the image in the library. */
  readonly index: LibraryIndex;
}

async function indexOf(world: World, name: string): Promise<LibraryIndex> {
  const { stdout, code, stderr } = await world.cli('image', 'show', name, '-o', 'json');
  assert.equal(code, 0, stderr);
  const blob = join(world.dataFolder, 'library/blobs', `sha256-${JSON.parse(stdout).digest}`);
  return parseLibraryIndex(await readFile(join(blob, 'index.json'), 'utf8'));
}

class Place {
  readonly #world: World;
  readonly #random: Random;
  readonly #image: Buffer;
  readonly #contents: DiskContents;
  readonly #index: LibraryIndex;

  constructor(world: World, random: Random, { image, contents, index }: Expected) {
    this.#world = world;
    this.#random = random;
    this.#image = image;
    this.#contents = contents;
    this.#index = index;
  }

  async round(
    { fault, image }: { readonly fault: VmFault; readonly image: string },
    round: number,
    { signal }: RoundContext,
  ): Promise<Readonly<Record<string, number>>> {
    const site = await this.#site(round, image);
    await using disk = await NbdDisk.start(site.file);
    disk.fault = this.#faultOf(fault);
    await using vm = await this.#world.powerOn({
      firmware: 'bios',
      mac: site.mac,
      diskSocket: disk.socketPath,
      bootOrder: 'network',
      name: site.machine,
    });

    const isCut = fault.startsWith('power cut');
    const moment = isCut ? await this.#cut(vm, disk, site, signal) : await this.#fail(site);
    const isWritten = await this.#wasImageWritten(site);
    const left = await readFile(site.file);
    const state = this.#contents.judge(left);
    // From the moment that the image is whole, later actions write to its file systems.
    if (!isWritten) assert.notEqual(state, 'bootable and not whole', moment);
    if (!isCut) assert.equal(state, 'zeros', moment);

    disk.fault = {};
    if (isCut) await vm.powerOn();
    else await this.#retry(site);
    await vm.waitForConsole(UP, { timeoutMs: SLOW_MS, signal });
    const workflow = await this.#world.record('workflow', site.workflow);
    assert.equal(workflow['state'], 'succeeded', moment);
    assert.equal((await this.#world.record('hardware', site.machine))['stage'], 'installed', moment);
    const fetched = image === 'library' && !isWritten ? await this.#requireOnlyMissing(site, left) : undefined;
    return {
      'cut behind the image': isCut && isWritten ? 1 : 0,
      ...(fetched && { 'MB fetched again': fetched / 1e6 }),
    };
  }

  /** A machine with a record, a workflow and a disk with an old system. */
  async #site(round: number, image: string): Promise<Site> {
    const machine = `node-${round}`;
    const mac = `52:54:00:77:01:${round.toString(16).padStart(2, '0')}`;
    const workflow = `install-${round}`;
    await this.#world.apply({
      [`hardware-${round}.yaml`]: hardwareYaml({ name: machine, mac, address: `10.77.0.${20 + round}` }),
      [`workflow-${round}.yaml`]: workflowYaml(workflow, image, machine),
    });
    const file = await this.#world.emptyDisk(`${machine}.img`, this.#contents.old.length);
    await using handle = await open(file, 'r+');
    await handle.write(this.#contents.old, 0, this.#contents.old.length, 0);
    return { machine, mac, workflow, file, from: this.#world.seen.length };
  }

  #faultOf(fault: VmFault): NbdFault {
    switch (fault) {
      case 'power cut':
        return {};
      case 'power cut, flushes are lies':
        return { isLying: true };
      case 'a byte cannot be written':
        return { badByte: this.#random.between(9 * MIB, 200 * MIB) };
      case 'the pool is full':
        return { roomBytes: this.#random.between(8 * MIB, 200 * MIB) };
    }
  }

  /** At a random moment between the agent's first action and the installed system. */
  async #cut(vm: VirtualMachine, disk: NbdDisk, site: Site, signal: AbortSignal): Promise<string> {
    const { from, workflow } = site;
    await this.#world.waitForEvent({ name: 'action.started', workflow }, SLOW_MS, from);
    // The image is what takes long; the rest of the moments lie in the actions behind it.
    const bytes = this.#random.between(0, this.#contents.old.length * 1.1);
    const endAt = performance.now() + SLOW_MS;
    while (disk.writtenBytes < bytes && !this.#isImageWritten(site) && performance.now() < endAt) await sleep(5);
    const laterMs = this.#isImageWritten(site) ? this.#random.between(0, 5000) : 0;
    await sleep(laterMs, undefined, { signal });
    await vm.powerOff();
    await disk.powerCut(() => this.#random.fraction());
    return `cut after ${disk.writtenBytes} bytes and ${laterMs} ms`;
  }

  async #fail({ from, workflow }: Site): Promise<string> {
    await this.#world.waitForEvent({ name: 'workflow.failed', workflow }, SLOW_MS, from);
    const { code, message } = (await this.#world.record('workflow', workflow))['error'] as Record<string, string>;
    assert.equal(code, 'write_failed', message);
    assert.match(message ?? '', /\/dev\/vda/);
    return message ?? '';
  }

  async #retry({ workflow }: Site): Promise<void> {
    const { code, stderr } = await this.#world.cli('workflow', 'retry', workflow);
    assert.equal(code, 0, stderr);
  }

  /** As the server knows it, when the machine is off: what it said last may still be on its way to us. */
  async #wasImageWritten({ workflow }: Site): Promise<boolean> {
    const { stdout, code, stderr } = await this.#world.cli('describe', 'workflow', workflow, '-o', 'json');
    assert.equal(code, 0, stderr);
    const { events }: { readonly events: readonly { readonly name: string }[] } = JSON.parse(stdout);
    return events.filter(({ name }) => name === 'action.started').length > 1;
  }

  /** As far as we have heard. */
  #isImageWritten({ from, workflow }: Site): boolean {
    const ofIt = this.#world.seen.slice(from).filter((event) => event.workflow === workflow);
    return ofIt.filter(({ name }) => name === 'action.started').length > 1;
  }

  /** Of the image, the machine fetched what was not on its disk, the first frame, and nothing else. Resolves to how many bytes. */
  async #requireOnlyMissing({ workflow }: Site, disk: Buffer): Promise<number> {
    const { stdout } = await this.#world.cli('logs', workflow);
    const [, fetched] = /.*from the library, (\d+) bytes fetched/s.exec(stdout) ?? [];
    const tail = disk.length - MIB;
    const missing = this.#index.frames.filter(({ imageOffset, imageBytes, sums }) => {
      const end = imageOffset + imageBytes;
      if (sums === undefined) return false;
      // The ends are wiped before the first byte, and written last.
      if (imageOffset === 0 || end > tail) return true;
      return !disk.subarray(imageOffset, end).equals(this.#image.subarray(imageOffset, end));
    });
    const most = missing.reduce((sum, { fileBytes }) => sum + fileBytes, 0);
    assert.ok(Number(fetched) <= most, `${fetched} bytes were fetched again, ${most} were missing`);
    return Number(fetched);
  }
}
