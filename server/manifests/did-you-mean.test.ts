import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mostLike } from './did-you-mean.ts';

describe('the names that are most like what was written', () => {
  it('are those that begin so, then those with the fewest other letters', () => {
    const known = ['fedora-44', 'ubuntu-26.04-server-amd64', 'debian-12', 'debian-13', 'bun'];

    assert.deepEqual(mostLike('ubuntu', known, 2), ['ubuntu-26.04-server-amd64', 'bun']);
    assert.deepEqual(mostLike('Debain-12', known, 2), ['debian-12', 'debian-13']);
    assert.deepEqual(mostLike('debian-12-cloud', known, 1), ['debian-12']);
    assert.deepEqual(mostLike('x'.repeat(10_000), ['a', 'b'], 3), ['a', 'b']);
    assert.deepEqual(mostLike('x', [], 3), []);
  });
});
