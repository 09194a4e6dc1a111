import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EVENT_NAMES } from '#server/life/events.ts';
import type { EventView } from '../api/types.ts';
import { eventLine } from './event-line.ts';

const event: EventView = { id: 7, at: '2026-01-02T03:04:05.678Z', name: 'machine.booting', actor: 'machine', data: {} };

function progressLine(data: object): string {
  return eventLine({ ...event, name: 'action.progress', hardware: 'one', data: { name: 'a', unit: 'bytes', ...data } });
}

describe('eventLine', () => {
  it('has a sentence for every event that exists, even without facts', () => {
    for (const name of Object.keys(EVENT_NAMES)) {
      const line = eventLine({ ...event, name: name as EventView['name'] });
      assert.match(line, /^03:04:05 {2}server {12}\S/, name);
      assert.doesNotMatch(line, /undefined|\[object|NaN/, name);
      assert.equal(line.includes(name), false, `${name} is shown by its name`);
    }
  });

  it('shows an event of a newer server by its name', () => {
    const line = eventLine({ ...event, name: 'machine.teleported' as EventView['name'], hardware: 'node-1' });

    assert.equal(line, '03:04:05  node-1            machine.teleported');
  });

  it('says why something failed, however the reason is told', () => {
    const failed = { ...event, name: 'workflow.failed', workflow: 'w' } as const;

    for (const data of [{ message: 'too small' }, { reason: 'too small' }, { error: { message: 'too small' } }]) {
      assert.match(eventLine({ ...failed, data }), /workflow w failed: too small$/);
    }
  });

  it('names no address of a machine that has none yet', () => {
    assert.doesNotMatch(eventLine({ ...event, name: 'machine.discovered', from: '0.0.0.0' }), /0\.0\.0\.0/);
    assert.match(eventLine({ ...event, from: '10.0.0.7' }), /\(10\.0\.0\.7\)$/);
  });

  it('is one line without control characters, whatever a machine says', () => {
    const hostile = 'a\n03:04:05  node-2  installed\r\u001b[2J\u009b31m\u202e';

    const line = eventLine({ ...event, name: 'machine.failed', hardware: hostile, data: { reason: hostile } });

    // oxlint-disable-next-line no-control-regex -- control characters are what it is about
    assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/);
  });

  it('shows since when nothing is done, and what is waited for, instead of a rate', () => {
    assert.match(
      progressLine({ done: 512, total: 1024, perSecond: 0, idleMs: 65_000, trouble: 'it was cut' }),
      /512 B of 1\.0 KiB \(50 %\), stalled for 1m05s: it was cut$/,
    );
    assert.match(
      progressLine({ done: 0, perSecond: 0, idleMs: 42_000, waitsFor: 'its turn (2nd in line)' }),
      /"a": waits 42s for its turn \(2nd in line\)$/,
    );
  });

  it('shows amount, share and rate of a progress', () => {
    const data = { name: 'stream', done: 512, total: 2048, perSecond: 100, unit: 'bytes' };

    const line = eventLine({ ...event, name: 'action.progress', hardware: 'one', data });

    assert.equal(line, '03:04:05  one               action "stream": 512 B of 2.0 KiB (25 %), 100 B/s');
  });
});
