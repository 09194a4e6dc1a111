import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { othersOf, type PeerMember, type PeersTold, PeerTracker } from './peer-tracker.ts';

const DIGEST = 'ab'.repeat(32);

interface Told extends PeerMember {
  readonly told: PeersTold[];
}

function member(number: number): Told {
  const told: PeersTold[] = [];
  return { hardware: `m${number}`, address: `10.0.0.${number}`, told, tell: (peers) => void told.push(peers) };
}

const offer = { digest: DIGEST, port: 5000, frames: 0 };

describe('who writes the same image', () => {
  it('is told to a newcomer at once, and to the others with the next round', () => {
    const tracker = new PeerTracker();
    const [one, two] = [member(1), member(2)];

    tracker.offer(one, offer);
    tracker.offer(two, { ...offer, port: 6000 });

    assert.deepEqual(one.told, [{ digest: DIGEST, rank: 0, of: 1, peers: [] }]);
    const expected = { digest: DIGEST, rank: 1, of: 2, peers: [{ address: '10.0.0.1', port: 5000 }] };
    assert.deepEqual(two.told, [expected]);
    assert.equal(tracker.tellChanges(), true);
    assert.deepEqual(one.told.at(-1), { digest: DIGEST, rank: 0, of: 2, peers: [{ address: '10.0.0.2', port: 6000 }] });
  });

  it('changes nothing when it is said again, but for the number of frames', () => {
    const tracker = new PeerTracker();
    const one = member(1);
    tracker.offer(one, offer);
    tracker.tellChanges();

    tracker.offer(one, { ...offer, frames: 7 });

    assert.equal(tracker.tellChanges(), false);
    assert.deepEqual(tracker.rows(), [{ hardware: 'm1', digest: DIGEST, frames: 7 }]);
  });

  it('is forgotten with the connection, or when the offer is taken back', () => {
    const tracker = new PeerTracker();
    const [one, two, three] = [member(1), member(2), member(3)];
    for (const each of [one, two, three]) tracker.offer(each, offer);

    tracker.forget(one);
    tracker.offer(two, { ...offer, port: 0 });
    tracker.tellChanges();

    assert.deepEqual(three.told.at(-1), { digest: DIGEST, rank: 0, of: 1, peers: [] });
    assert.deepEqual(
      tracker.rows().map(({ hardware }) => hardware),
      ['m3'],
    );
  });

  it('keeps images apart, and a machine that turns to another one', () => {
    const tracker = new PeerTracker();
    const [one, two] = [member(1), member(2)];
    const other = { ...offer, digest: 'cd'.repeat(32) };
    tracker.offer(one, offer);
    tracker.offer(two, offer);

    tracker.offer(two, other);
    tracker.tellChanges();

    assert.equal(one.told.at(-1)?.of, 1);
    assert.deepEqual(two.told.at(-1), { digest: other.digest, rank: 0, of: 1, peers: [] });
  });
});

describe('whom a machine hears of', () => {
  it('is everybody else while they are few', () => {
    assert.deepEqual(othersOf(2, 5), [0, 1, 3, 4]);
    assert.deepEqual(othersOf(0, 1), []);
  });

  it('is a few, in reach of everybody in a few steps, when they are many', () => {
    for (const members of [18, 100, 1000]) {
      const steps = new Map([[0, 0]]);
      for (const [place, distance] of steps) {
        for (const next of othersOf(place, members)) if (!steps.has(next)) steps.set(next, distance + 1);
      }
      assert.equal(steps.size, members);
      assert.ok(Math.max(...steps.values()) <= 7, `${Math.max(...steps.values())} steps among ${members}`);
      assert.ok(othersOf(3, members).length <= 17);
    }
  });
});
