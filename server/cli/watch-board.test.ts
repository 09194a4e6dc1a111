import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EventView, HardwareView, WorkflowView } from '../api/types.ts';
import { LiveBlock } from './live-block.ts';
import { openTerminal } from './terminal.ts';
import { WatchBoard } from './watch-board.ts';

const start = Date.UTC(2026, 0, 1);
const at = (seconds: number): string => new Date(start + seconds * 1000).toISOString();

function machine(name: string, stage: HardwareView['stage']): HardwareView {
  const empty = { labels: {}, annotations: {}, spec: {}, netboot: true, hasUserData: false, version: 1 };
  const ready = { readyBy: 'metadata', userDataPolicy: 'keep' } as const;
  return { ...empty, ...ready, name, stage, stageAt: at(0), createdAt: at(0) };
}

function event(seconds: number, name: EventView['name'], data: EventView['data'] = {}, hardware = 'one'): EventView {
  return { id: 1, at: at(seconds), name, actor: 'agent', hardware, workflow: 'w', data };
}

/** A terminal screen that understands what LiveBlock sends. */
class Screen {
  lines: string[] = [];
  readonly columns = 60;
  readonly isTTY = true;

  write(text: string): void {
    for (const piece of text.replaceAll('\u001b', 'ESC').split(/(ESC\[\d+AESC\[0J)/)) {
      const up = /^ESC\[(\d+)A/.exec(piece);
      if (up !== null) this.lines.splice(this.lines.length - Number(up[1]));
      else this.lines.push(...piece.split('\n').slice(0, -1));
    }
  }
}

function terminal(screen: Screen) {
  return openTerminal(screen, screen, { NO_COLOR: '1', TERM: 'xterm' });
}

describe('WatchBoard', () => {
  it('says which import a machine waits for, until it is there', () => {
    const board = new WatchBoard([machine('one', 'booting')], []);
    const out = { columns: () => 120, paint: (_style: unknown, text: string) => text };
    const progress = { image: 'd.raw.xz', done: 512, total: 1024, perSecond: 256, unit: 'bytes' };

    board.apply(event(5, 'workflow.imageProgress', progress));
    board.apply(event(6, 'machine.enrolled'));

    const waiting = 'one  enrolled      w waits for the import of d.raw.xz (50 %, 256 B/s)';
    assert.deepEqual(board.lines(out, new Date(start + 10_000), 10), [waiting]);
    board.apply(event(8, 'workflow.imageReady', { image: 'd.raw.xz', from: 'library' }));
    assert.deepEqual(board.lines(out, new Date(start + 10_000), 10), ['one  enrolled      4s']);
  });

  it('shows stage, action, bar, rate and time left of each machine', () => {
    const board = new WatchBoard([machine('one', 'booting'), machine('two', 'installed')], []);
    const out = { columns: () => 120, paint: (_style: unknown, text: string) => text };
    const progress = { done: 512, total: 1024, perSecond: 256, unit: 'bytes' };

    board.apply(event(5, 'machine.enrolled'));
    board.apply(event(6, 'machine.provisioning'));
    board.apply(event(7, 'action.started', { name: 'stream image' }));
    board.apply(event(9, 'action.progress', progress));

    assert.deepEqual(board.lines(out, new Date(start + 10_000), 10), [
      'one  provisioning  w / stream image  3s  ████████░░░░░░░░  50 %  512 B of 1.0 KiB  256 B/s  2.0s left',
      'two  installed     10s',
    ]);

    board.apply(event(12, 'action.finished', { state: 'succeeded' }));
    board.apply(event(12, 'machine.installed'));
    board.apply(event(13, 'hardware.deleted', {}, 'two'));
    assert.deepEqual(board.lines(out, new Date(start + 15_000), 10), ['one  installed     3s']);
  });

  it('shows no rate of an agent that is not heard any more, and why nothing is done of one that is', () => {
    const board = new WatchBoard([machine('one', 'provisioning')], []);
    const out = { columns: () => 120, paint: (_style: unknown, text: string) => text };
    const progress = { done: 512, total: 1024, perSecond: 256, unit: 'bytes' };
    const at10 = (seconds: number) => board.lines(out, new Date(start + (10 + seconds) * 1000), 10).join();
    board.apply(event(0, 'action.started', { name: 'stream' }));
    board.apply(event(10, 'action.progress', progress));

    assert.match(at10(0), /1\.0 KiB  256 B\/s  2\.0s left$/);
    assert.match(at10(4), /256 B\/s/);
    assert.match(at10(65), /1\.0 KiB  nothing new for 1m05s$/);

    board.apply(event(80, 'action.progress', { ...progress, perSecond: 0, idleMs: 70_000, trouble: 'it was cut' }));
    assert.match(at10(70), /1\.0 KiB  stalled for 1m10s: it was cut$/);
    board.apply(event(81, 'action.progress', { ...progress, done: 600 }));
    assert.match(at10(71), /256 B\/s/);
  });

  it('keeps rate and time left where the terminal is narrow', () => {
    const board = new WatchBoard([machine('one', 'provisioning')], []);
    board.apply(event(7, 'action.started', { name: 'stream image' }));
    board.apply(event(9, 'action.progress', { done: 512, total: 1024, perSecond: 256, unit: 'bytes' }));
    const wide = (columns: number): readonly string[] =>
      board.lines({ columns: () => columns, paint: (_style, text) => text }, new Date(start + 10_000), 10);

    assert.deepEqual(
      [...wide(100), ...wide(80), ...wide(60)],
      [
        'one  provisioning  stream image  3s  ████████░░░░░░░░  50 %  512 B of 1.0 KiB  256 B/s  2.0s left',
        'one  provisioning  stream image  3s  ████░░░░  50 %  256 B/s  2.0s left',
        'one  stream image  3s  ████░░░░  50 %  256 B/s  2.0s left',
      ],
    );
  });

  it('begins in the middle of a run', () => {
    const action = {
      attempt: 1,
      task: 0,
      action: 0,
      taskName: 't',
      name: 'stream',
      image: 'i',
      state: 'running',
    } as const;
    const workflow = { name: 'w', hardware: ['one'], actions: [{ ...action, startedAt: at(2) }] };
    const board = new WatchBoard([machine('one', 'provisioning')], [workflow as unknown as WorkflowView]);

    const lines = board.lines(terminal(new Screen()), new Date(start + 4000), 5);

    assert.deepEqual(lines, ['one  provisioning  w / stream  2s']);
  });

  it('never has more lines than there is room, nor wider ones, and shows what moves first', () => {
    const quiet = Array.from({ length: 50 }, (_, index) => machine(`m${index}`, 'installed'));
    const board = new WatchBoard([...quiet, machine('moving', 'booting')], []);
    board.apply(event(1, 'action.started', { name: 'x'.repeat(500) }, 'moving'));

    const lines = board.lines(terminal(new Screen()), new Date(start), 5);

    assert.deepEqual(
      lines.map((line) => line.slice(0, 14)),
      ['moving  bootin', '… and 50 more'],
    );
    assert.ok(lines.every((line) => line.length < 60));
  });
});

describe('LiveBlock', () => {
  it('keeps the block below the lines that are printed', () => {
    const screen = new Screen();
    const block = new LiveBlock(terminal(screen));

    block.print('before');
    block.draw(['a 1', 'b 1']);
    block.print('one');
    block.draw(['a 2']);
    block.print('two');
    block.draw(['a 2', 'b 2', 'c 2']);
    block.draw([]);
    block.draw(['end']);

    assert.deepEqual(screen.lines, ['before', 'one', 'two', 'end']);
  });
});
