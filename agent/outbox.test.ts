import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type NextToSend, Outbox, type OutboxEntry } from './outbox.ts';
import type { Report } from './report.ts';

const task = { workflow: 'w', attempt: 1, task: 0 };
const at = new Date(0);
const ok = { outcome: 'succeeded', exitCode: 0, tries: 1 } as const;

describe('the outbox', () => {
  it('numbers reports from 1 and gives each of them out after the one before', () => {
    const { outbox } = make();
    outbox.add({ kind: 'taskAccepted', task });
    outbox.add(started(0));

    assert.deepEqual(sendAll(outbox, 0), [1, 2]);
  });

  it('gives out again what was not acknowledged, and nothing of what was', () => {
    const { outbox } = make();
    for (let action = 0; action < 5; action++) outbox.add(started(action));
    sendAll(outbox, 0);

    outbox.acknowledge(2);

    assert.deepEqual(sendAll(outbox, 2), [3, 4, 5]);
    assert.equal(outbox.isSettled, false);
    outbox.acknowledge(5);
    assert.equal(outbox.isSettled, true);
  });

  it('takes an old, repeated or exaggerated acknowledgement without harm', () => {
    const { outbox } = make();
    outbox.add(started(0));
    outbox.add(started(1));

    outbox.acknowledge(1);
    outbox.acknowledge(0);
    outbox.acknowledge(1);
    assert.deepEqual(sendAll(outbox, 0), [2]);
    outbox.acknowledge(99);
    outbox.add(started(2));

    assert.deepEqual(sendAll(outbox, 0), [3]);
  });

  it('holds log lines back for a quarter of a second, so that they go together', () => {
    const { outbox, clock } = make();
    outbox.addLogLine(task, 0, line('a'));
    clock.now += 100;
    outbox.addLogLine(task, 0, line('b'));

    assert.deepEqual(outbox.next(0), { waitMs: 150 });
    clock.now += 150;

    assert.deepEqual(texts(entryOf(outbox.next(0))), ['a', 'b']);
  });

  it('sends log lines at once when something follows them', () => {
    const { outbox } = make();
    outbox.addLogLine(task, 0, line('a'));
    outbox.add({ kind: 'actionFinished', task, action: 0, at, result: ok });

    assert.deepEqual(sendAll(outbox, 0), [1, 2]);
  });

  it('adds no line to a report that may have been sent', () => {
    const { outbox, clock } = make();
    outbox.addLogLine(task, 0, line('a'));
    clock.now += 250;
    outbox.next(0);

    outbox.addLogLine(task, 0, line('b'));
    clock.now += 250;

    assert.deepEqual(texts(entryOf(outbox.next(0))), ['a']);
    assert.deepEqual(texts(entryOf(outbox.next(1))), ['b']);
  });

  it('keeps lines of different actions apart', () => {
    const { outbox } = make();
    outbox.addLogLine(task, 0, line('a'));
    outbox.addLogLine(task, 1, line('b'));

    assert.deepEqual(texts(entryOf(outbox.next(0))), ['a']);
  });

  it('drops the oldest lines when it holds too much, says how many, and keeps every state', () => {
    const { outbox } = make({ limitBytes: 300_000 });
    const written = 20_000;
    outbox.add(started(0));
    for (let index = 0; index < written / 2; index++) outbox.addLogLine(task, 0, line(`line ${index}`));
    outbox.add({ kind: 'actionFinished', task, action: 0, at, result: ok });
    outbox.add(started(1));
    for (let index = 0; index < written / 2; index++) outbox.addLogLine(task, 1, line(`line ${index}`));
    outbox.add({ kind: 'actionFinished', task, action: 1, at, result: ok });

    const entries = takeAll(outbox);
    const kinds = entries.map(({ report }) => report.kind).filter((kind) => kind !== 'actionLog');
    const lines = entries.flatMap(texts);
    const dropped = lines.map((text) => Number(/^(\d+) lines were dropped/.exec(text)?.[1] ?? 0));
    const bytes = lines.reduce((sum, text) => sum + text.length + 64, 0);

    assert.deepEqual(kinds, ['actionStarted', 'actionFinished', 'actionStarted', 'actionFinished']);
    assert.equal(
      dropped.reduce((sum, count) => sum + count, 0) + lines.length - dropped.filter(Boolean).length,
      written,
    );
    assert.equal(lines.at(-1), `line ${written / 2 - 1}`);
    assert.ok(bytes <= 300_000 + 1000, `${bytes} bytes`);
    assert.ok(dropped.filter(Boolean).length <= 2, 'one line says it for each action');
  });

  it('never grows by a flood of lines, and takes a hundred thousand of them in a blink', () => {
    const { outbox, clock } = make();
    const before = process.cpuUsage();
    for (let index = 0; index < 100_000; index++) {
      outbox.addLogLine(task, 0, line(`${index} ${'x'.repeat(200)}`));
      if (index % 1000 === 0) clock.now += 300;
    }
    const entries = takeAll(outbox);
    const bytes = entries.flatMap(texts).reduce((sum, text) => sum + text.length, 0);

    assert.ok(bytes < 5_000_000, `${bytes} bytes are kept`);
    // Of the processor: a busy computer gives it later, not less of it.
    assert.ok(process.cpuUsage(before).user < 3_000_000);
  });

  it('cuts a line of a megabyte, also one of characters of several bytes', () => {
    const { outbox, clock } = make();
    outbox.addLogLine(task, 0, line('x'.repeat(1_000_000)));
    outbox.addLogLine(task, 0, line('日'.repeat(300_000)));
    clock.now += 250;

    const sizes = texts(entryOf(outbox.next(0))).map((text) => Buffer.byteLength(text));

    assert.ok(
      sizes.every((size) => size <= 16_384),
      sizes.join(),
    );
    assert.equal(sizes.length, 2);
  });

  it('sends only the latest progress, twice a second at most, and none of an action that is over', () => {
    const { outbox, clock } = make();
    for (let done = 1; done <= 100; done++) outbox.setProgress(progress(done));
    const first = outbox.next(0);
    outbox.setProgress(progress(101));
    const early = outbox.next(0);
    clock.now += 500;
    const second = outbox.next(0);
    outbox.setProgress(progress(102));
    outbox.add({ kind: 'actionFinished', task, action: 0, at, result: ok });
    clock.now += 500;

    assert.ok('progress' in first && first.progress.done === 100);
    assert.deepEqual(early, { waitMs: 500 });
    assert.ok('progress' in second && second.progress.done === 101);
    assert.deepEqual(sendAll(outbox, 0), [1]);
    assert.deepEqual(outbox.next(1), { waitMs: undefined });
  });

  it('tells who waits that everything is acknowledged', async () => {
    const { outbox } = make();
    outbox.add(started(0));
    const settled = outbox.settled(AbortSignal.timeout(30_000));

    outbox.acknowledge(1);

    await settled;
    await assert.rejects(
      (async () => {
        outbox.add(started(1));
        await outbox.settled(AbortSignal.abort(new Error('stopped')));
      })(),
      /stopped/,
    );
  });
});

function make(options: { readonly limitBytes?: number } = {}): { outbox: Outbox; clock: { now: number } } {
  const clock = { now: 1_000_000 };
  return { outbox: new Outbox({ now: () => clock.now, ...options }), clock };
}

function started(action: number): Exclude<Report, { kind: 'actionLog' }> {
  return { kind: 'actionStarted', task, action, at };
}

function line(text: string) {
  return { at, stream: 'stdout', text } as const;
}

function progress(done: number) {
  return { task, action: 0, done, total: 200, perSecond: 1, unit: 'bytes' };
}

/** Sequences that a connection would send now. */
function sendAll(outbox: Outbox, acknowledged: number): readonly number[] {
  const sent: number[] = [];
  for (let next = outbox.next(acknowledged); 'entry' in next; next = outbox.next(next.entry.sequence)) {
    sent.push(next.entry.sequence);
  }
  return sent;
}

function takeAll(outbox: Outbox): readonly OutboxEntry[] {
  const entries: OutboxEntry[] = [];
  for (let next = outbox.next(0); 'entry' in next; next = outbox.next(next.entry.sequence)) entries.push(next.entry);
  return entries;
}

function entryOf(next: NextToSend): OutboxEntry {
  assert.ok('entry' in next, JSON.stringify(next));
  return next.entry;
}

function texts(entry: OutboxEntry): readonly string[] {
  return entry.report.kind === 'actionLog' ? entry.report.lines.map(({ text }) => text) : [];
}
