import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import pino from 'pino';
import { limitLines } from './log-limit.ts';

describe('limitLines', () => {
  it('writes three hundred lines of a name in ten seconds, then says how many it left out', () => {
    const clock = { now: 0 };
    const lines: string[] = [];
    const stream = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    const log = pino({ hooks: { logMethod: limitLines(() => clock.now) } }, stream).child({ part: 'tftp' });

    for (let line = 0; line < 1000; line += 1) log.warn({ line }, 'tftp.notFound');
    log.info('server.started');
    clock.now = 10_000;
    log.warn({ line: 1000 }, 'tftp.notFound');

    assert.equal(lines.length, 303);
    assert.match(lines[300] ?? '', /server\.started/);
    assert.match(lines[301] ?? '', /"part":"tftp","name":"tftp\.notFound","lines":700,"msg":"log\.leftOut"/);
    assert.match(lines[302] ?? '', /"line":1000/);
  });
});
