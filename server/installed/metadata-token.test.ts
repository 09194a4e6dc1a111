import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { steppingClock } from '#test/support/records.ts';
import { metadataTokens } from './metadata-token.ts';

const HOLDER = { hardware: 'm1', address: '10.0.0.1' };

describe('metadata tokens', () => {
  it('are good for their holder until their end', () => {
    const clock = steppingClock();
    const tokens = metadataTokens(clock.now);
    const token = tokens.issue(HOLDER, 60);

    assert.equal(tokens.accepts(token, HOLDER), true);
    clock.advance(59_999);
    assert.equal(tokens.accepts(token, HOLDER), true);
    clock.advance(1);
    assert.equal(tokens.accepts(token, HOLDER), false);
  });

  it('are no good for another machine, another address or another server', () => {
    const clock = steppingClock();
    const tokens = metadataTokens(clock.now);
    const token = tokens.issue(HOLDER, 60);

    assert.equal(tokens.accepts(token, { ...HOLDER, hardware: 'm2' }), false);
    assert.equal(tokens.accepts(token, { ...HOLDER, address: '10.0.0.2' }), false);
    assert.equal(metadataTokens(clock.now).accepts(token, HOLDER), false);
  });

  it('cannot be made longer or made up', () => {
    const tokens = metadataTokens(steppingClock().now);
    const bytes = Buffer.from(tokens.issue(HOLDER, 60), 'base64url');
    bytes.writeUInt8(1, 0); // an end in the far future

    for (const token of [bytes.toString('base64url'), '', 'x', 'A'.repeat(54), 'A'.repeat(100_000)]) {
      assert.equal(tokens.accepts(token, HOLDER), false, token.slice(0, 60));
    }
  });
});
