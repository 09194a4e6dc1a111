import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { ActionName } from '#proto/actions/catalog.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { type Answer, hostileServer, stallAfter, status, wholeFile } from '#test/support/hostile-server.ts';
import { runActionWithPolicy } from './actions/run-action.ts';
import { type FolderMachine, folderMachine } from './machine/folder-machine.ts';
import { Outbox } from './outbox.ts';
import { PeerBoard } from './peer-board.ts';
import type { ProgressReport, Task } from './report.ts';
import { runTask } from './task-run.ts';

const MIB = 2 ** 20;
const LINK = { DEST_PATH: '/etc/hostname', CONTENTS: 'node', UID: '0', GID: '0', MODE: '0644', DIRMODE: '0755' };

let folder: string;
let machine: FolderMachine;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-task-'));
  machine = folderMachine({
    folder,
    disks: { '/dev/sda': 16 * MIB },
    fileSystems: { '/dev/sda2': 'xfs' },
  });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a task that fails after its image was written', () => {
  it('makes the disk unbootable before it reports the failure', async () => {
    await using server = await hostileServer(diskImage(), [wholeFile]);
    const image = { IMG_URL: server.url, DEST_DISK: '/dev/sda' };

    const { end, outbox } = await run([
      ['image2disk', image],
      ['writefile', { ...LINK, DEST_DISK: '/dev/sda2', FS_TYPE: 'ext4' }],
    ]);

    assert.equal(end.outcome, 'failed');
    const disk = await readFile(machine.diskFile('/dev/sda'));
    assert.ok(
      disk.subarray(0, MIB).every((byte) => byte === 0),
      'the start of the disk is not zeros',
    );
    assert.ok(
      disk.subarray(-MIB).every((byte) => byte === 0),
      'the end of the disk is not zeros',
    );
    const kinds = reportsOf(outbox);
    const undone = kinds.findIndex((line) => /made unbootable again/.test(line));
    assert.ok(undone !== -1 && undone < kinds.lastIndexOf('actionFinished'), kinds.join('\n'));
  });

  it('leaves the disk alone when every action succeeds', async () => {
    await using server = await hostileServer(diskImage(), [wholeFile]);

    const { end } = await run([
      ['image2disk', { IMG_URL: server.url, DEST_DISK: '/dev/sda' }],
      ['reboot', {}],
    ]);

    assert.deepEqual(end, { outcome: 'succeeded', power: 'reboot' });
    const disk = await readFile(machine.diskFile('/dev/sda'));
    assert.equal(disk.toString('latin1', 512, 520), 'EFI PART');
  });

  it('leaves a disk alone that this task did not write', async () => {
    const { end } = await run([['writefile', { ...LINK, DEST_DISK: '/dev/sda2', FS_TYPE: 'ext4' }]]);

    assert.equal(end.outcome, 'failed');
    assert.ok(!machine.journal.some((entry) => entry.startsWith('open')), machine.journal.join('\n'));
  });
});

describe('what a task reports', () => {
  it('shows no signature or password of a URL that programs and servers print', async () => {
    const secret = 'http://user:hunter2@127.0.0.1:1/a?X-Amz-Signature=hunter2';
    machine = folderMachine({
      folder,
      disks: {},
      fileSystems: { '/dev/sda2': 'xfs' },
      run: async (call) => {
        call.onLine?.('stderr', `cannot fetch ${secret}: 403`);
        return { exitCode: 3, lastLines: [`cannot fetch ${secret}: 403`] };
      },
    });

    const { end, outbox, said } = await run([
      ['cexec', { BLOCK_DEVICE: '/dev/sda2', FS_TYPE: 'xfs', CMD_LINE: 'fetch' }],
    ]);

    assert.equal(end.outcome, 'failed');
    assert.match(said.join(), /cannot fetch http:\/\/\(redacted\)@127\.0\.0\.1:1\/a\?\(redacted\): 403/);
    assert.doesNotMatch(JSON.stringify([allReports(outbox), said]), /hunter2/);
  });
});

/** The server works and serves others first for so long. */
function inLineFor(ms: number, then: Answer): Answer {
  const freeAt = performance.now() + ms;
  const notYet = status(503, { 'retry-after': '0', 'tinsmith-line': '2' });
  return (...request) => (performance.now() < freeAt ? notYet : then)(...request);
}

describe('an action that waits for its turn', () => {
  it('is not timed out by the time in which it only waits, and says at once that it does', async () => {
    await using server = await hostileServer(diskImage(), [inLineFor(3_000, wholeFile)]);

    const { end, told } = await run([['image2disk', { IMG_URL: server.url, DEST_DISK: '/dev/sda' }]], 2_000);

    assert.equal(end.outcome, 'succeeded');
    assert.deepEqual([told[0]?.done, told[0]?.waitsFor], [0, 'its turn (2nd in line)']);
    assert.ok((told[0]?.idleMs ?? 0) < 2_000, 'it was told late');
    assert.ok((told.at(-1)?.waitedMs ?? 0) > 2_500, 'the waiting was not counted');
  });

  it('is timed out by its own time, and says how long it waited besides', async () => {
    await using server = await hostileServer(diskImage(), [inLineFor(2_000, stallAfter(1024))]);

    const { said } = await run([['image2disk', { IMG_URL: server.url, DEST_DISK: '/dev/sda' }]], 1_000);

    assert.match(said.join('\n'), /did not end within its 1 s, besides [12] s in which it waited for its turn: raise/);
  });
});

describe('an action whose image does not come any more', () => {
  it('says so again and again, with no rate', async () => {
    await using server = await hostileServer(Buffer.concat([diskImage(), Buffer.alloc(8 * MIB)]), [
      stallAfter(8 * MIB),
    ]);

    const { told } = await run([['image2disk', { IMG_URL: server.url, DEST_DISK: '/dev/sda' }]], 6_000);

    const [former, latest] = [told.at(-2), told.at(-1)];
    assert.ok(former?.idleMs !== undefined && latest?.idleMs !== undefined && latest.idleMs > former.idleMs);
    assert.equal(latest.perSecond, 0);
    assert.ok(latest.done > 0);
  });
});

async function run(actions: readonly (readonly [ActionName, Readonly<Record<string, string>>])[], timeoutMs = 20_000) {
  let now = 0;
  const outbox = new Outbox({ now: () => now });
  const told: ProgressReport[] = [];
  const setProgress = outbox.setProgress.bind(outbox);
  outbox.setProgress = (progress) => {
    told.push(progress);
    setProgress(progress);
  };
  const said: string[] = [];
  const task: Task = {
    task: { workflow: 'w', attempt: 1, task: 0 },
    name: 'install',
    facts: { hardware: 'm1', interfaces: [] },
    actions: actions.map(([builtIn, environment], index) => ({
      name: `${index}-${builtIn}`,
      builtIn,
      environment,
      command: [],
      timeoutMs,
      retries: 0,
    })),
  };
  const options = {
    machine,
    outbox,
    peers: new PeerBoard(),
    runAction: runActionWithPolicy,
    clock: () => new Date(0),
    now: () => performance.now(),
    say: (line: string) => said.push(line),
    standsEveryMs: 200,
  };
  const end = await runTask(task, options, new AbortController().signal);
  now = 60_000; // Lines that wait for company are sent by now.
  return { end, outbox, said, told };
}

/** Everything that would be sent, in order. */
function allReports(outbox: Outbox): unknown[] {
  const sent: unknown[] = [];
  for (let after = 0; ; ) {
    const next = outbox.next(after);
    if (!('entry' in next)) return sent;
    sent.push(next.entry.report);
    after = next.entry.sequence;
  }
}

/** What would be sent, in order: the kind of each report, and the text of log lines. */
function reportsOf(outbox: Outbox): string[] {
  const sent: string[] = [];
  for (let after = 0; ; ) {
    const next = outbox.next(after);
    if (!('entry' in next)) return sent;
    const { report, sequence } = next.entry;
    sent.push(...(report.kind === 'actionLog' ? report.lines.map(({ text }) => text) : [report.kind]));
    after = sequence;
  }
}
