import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ImageLine, type Visit } from './image-line.ts';

const MIB = 1 << 20;

/** A line and the time. */
class Site {
  readonly line: ImageLine;
  now = 0;

  constructor(streams: number, egress = 0) {
    this.line = new ImageLine({ streams, egress });
  }

  begin(address: string): Visit {
    const visit = this.line.begin(address, this.now);
    assert.ok(visit);
    this.line.admit(this.now);
    return visit;
  }

  /** Lets seconds pass, in each of which machines take some bytes. */
  pass(seconds: number, takes: Readonly<Record<string, number>> = {}): void {
    for (let second = 0; second < seconds; second += 1) {
      this.now += 1000;
      for (const visit of this.line.served()) this.line.sent(visit, takes[visit.address] ?? 0);
      this.line.admit(this.now);
    }
  }

  get served(): string {
    return this.line
      .served()
      .map(({ address }) => address)
      .join(' ');
  }

  get waiting(): string {
    return this.line
      .waiting()
      .map(({ address }) => address)
      .join(' ');
  }
}

describe('line for images', () => {
  it('serves those that came first, and the others in their order', () => {
    const site = new Site(2);
    const [a] = ['a', 'b', 'c', 'd'].map((address) => {
      site.now += 1;
      return site.begin(address);
    });
    assert.deepEqual([site.served, site.waiting], ['a b', 'c d']);

    assert.ok(a);
    site.line.end(a, site.now);
    site.pass(5, { b: 50 * MIB });

    assert.deepEqual([site.served, site.waiting], ['b c', 'd']);
  });

  it('counts a machine once, however many requests it has', () => {
    const site = new Site(2);
    for (let request = 0; request < 5; request += 1) site.begin('a');
    site.begin('b');

    assert.equal(site.served, 'a b');
  });

  it('lets a machine keep its place between two requests, but not while it is away', () => {
    const site = new Site(1);
    site.line.end(site.begin('a'), site.now);
    site.now += 1;
    site.begin('b');
    site.pass(2);
    assert.equal(site.served, 'a');

    site.pass(2);
    assert.equal(site.served, 'b');
  });

  it('gives the place of a machine that has finished to the next one, when its last request is over', () => {
    const site = new Site(1);
    const a = site.begin('a');
    site.begin('b');
    site.line.finish('a');
    site.line.admit(site.now);
    assert.equal(site.served, 'a');

    site.line.end(a, site.now);
    const { left, served } = site.line.admit(site.now);

    assert.deepEqual(
      [left, served].map(([visit]) => visit?.address),
      ['a', 'b'],
    );
  });

  it('keeps the place of a machine that asks for more after it has finished an action', () => {
    const site = new Site(1);
    site.line.end(site.begin('a'), site.now);
    site.line.finish('a');
    site.line.finish('nobody');
    site.line.end(site.begin('a'), site.now);
    site.now += 1;
    site.begin('b');

    assert.equal(site.served, 'a');
  });

  it('puts a machine that comes back soon where it was, before those that came later', () => {
    const site = new Site(1);
    site.line.end(site.begin('a'), site.now);
    site.pass(6);
    const b = site.begin('b');
    site.now += 1;
    site.begin('c');
    site.begin('a');
    assert.equal(site.waiting, 'a c');

    site.line.end(b, site.now);
    site.pass(6);
    assert.equal(site.served, 'a');
  });

  it('counts how long a machine waits from when it came back, not from when it first came', () => {
    const site = new Site(1);
    site.line.end(site.begin('a'), site.now);
    site.pass(30);
    const a = site.begin('a');

    assert.deepEqual([a.state, a.since, a.waitingSince, a.servedAt], ['served', 0, 30_000, 30_000]);
  });

  it('forgets a machine that stays away', () => {
    const site = new Site(1);
    site.line.end(site.begin('a'), site.now);
    site.pass(61);

    assert.ok(site.line.isEmpty);
  });

  it('gives the place of a reader that is stuck to the next one, too', () => {
    const site = new Site(2);
    for (const address of ['stuck', 'good', 'next', 'last']) {
      site.now += 1;
      site.begin(address);
    }
    site.pass(6, { good: 50 * MIB });

    assert.deepEqual([site.served, site.waiting], ['stuck good next', 'last']);
  });

  it('gives no place for one that takes a trickle, or far less than the others', () => {
    for (const [trickle, others] of [
      [60 * 1024, 100 * 1024],
      [900 * 1024, 50 * MIB],
    ] as const) {
      const site = new Site(2);
      for (const address of ['slow', 'good', 'next']) {
        site.now += 1;
        site.begin(address);
      }
      site.pass(6, { slow: trickle, good: others });

      assert.equal(site.served, 'slow good next');
    }
  });

  it('blames nobody where the budget or the network is slow for all', () => {
    const budget = new Site(2, 100 * 1024);
    const network = new Site(2);
    for (const site of [budget, network]) {
      for (const address of ['a', 'b', 'c']) {
        site.now += 1;
        site.begin(address);
      }
    }
    budget.pass(60, { a: 50 * 1024, b: 50 * 1024 });
    network.pass(60, { a: 500 * 1024, b: 500 * 1024 });

    assert.deepEqual([budget.served, network.served], ['a b', 'a b']);
  });

  it('serves everybody where there is no limit', () => {
    const site = new Site(0);
    for (let at = 0; at < 100; at += 1) site.begin(`10.0.0.${at}`);

    assert.equal(site.line.served().length, 100);
  });

  it('remembers a bounded number of machines, and refuses the next rather than lose one', () => {
    const site = new Site(1);
    let refused = 0;
    for (let at = 0; at < 10_000; at += 1) if (site.line.begin(`m${at}`, at) === undefined) refused += 1;

    assert.equal(refused, 10_000 - 8192);
    assert.equal(site.line.waiting().length, 8192);
  });

  it('passes over one that does not wait any more', () => {
    const site = new Site(1);
    const a = site.begin('a');
    site.now += 1;
    const b = site.begin('b');
    site.now += 1;
    site.begin('c');
    site.line.end(b, site.now);
    assert.equal(site.line.placeOf(b), 1);

    site.line.end(a, site.now);
    site.pass(6);

    assert.equal(site.served, 'c');
  });
});
