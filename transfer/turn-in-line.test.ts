import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { turnInLine, turnText } from './turn-in-line.ts';

function turn(status: number, headers: Readonly<Record<string, string>>) {
  return turnInLine({ status, headers: new Map(Object.entries(headers)) });
}

describe('turn in line', () => {
  it('knows a server that serves others first from one that fails', () => {
    assert.deepEqual(turn(503, { 'tinsmith-line': '3', 'retry-after': '2' }), { place: 3, afterMs: 2000 });
    assert.equal(turn(503, { 'retry-after': '2' }), undefined);
    assert.equal(turn(200, { 'tinsmith-line': '3' }), undefined);
    assert.equal(turn(503, { 'tinsmith-line': 'soon' }), undefined);
  });

  it('waits neither for ever nor not at all, whatever the server says', () => {
    assert.equal(turn(503, { 'tinsmith-line': '1', 'retry-after': '999999' })?.afterMs, 30_000);
    assert.equal(turn(503, { 'tinsmith-line': '1', 'retry-after': '0' })?.afterMs, 1);
    assert.equal(turn(503, { 'tinsmith-line': '1' })?.afterMs, 1000);
  });

  it('says the place as people do', () => {
    assert.deepEqual(
      [1, 2, 3, 4, 11, 12, 13, 21, 102, 113].map((place) => /\((\S+) in line/.exec(turnText({ place }))?.[1]),
      ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '113th'],
    );
  });
});
