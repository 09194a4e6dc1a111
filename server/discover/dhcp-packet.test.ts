import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { OPTION } from './dhcp-options.ts';
import { type DhcpPacket, decodeDhcpPacket, encodeDhcpPacket } from './dhcp-packet.ts';

const OFFER: DhcpPacket = {
  op: 'reply',
  hops: 1,
  xid: 0xdeadbeef,
  secs: 7,
  flags: 0x8000,
  ciaddr: '0.0.0.0',
  yiaddr: '10.77.0.50',
  siaddr: '10.77.0.1',
  giaddr: '10.88.0.1',
  mac: '52:54:00:77:00:01',
  sname: '',
  file: 'undionly.kpxe',
  options: new Map([
    [OPTION.relayAgent, Buffer.from('0104deadbeef', 'hex')],
    [OPTION.subnetMask, Buffer.from([255, 255, 255, 0])],
    [OPTION.serverId, Buffer.from([10, 77, 0, 1])],
    [OPTION.messageType, Buffer.from([2])],
  ]),
};

/** A request whose option bytes are exactly these. */
function requestWith(options: Buffer, change?: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.concat([
    encodeDhcpPacket({ ...OFFER, op: 'request', options: new Map() }).subarray(0, 240),
    options,
  ]);
  change?.(bytes);
  return bytes;
}

function textOption(packet: DhcpPacket, code: number): string | undefined {
  return packet.options.get(code)?.toString('latin1');
}

function compact(hex: string): string {
  return hex.replaceAll(' ', '');
}

describe('dhcp packet', () => {
  it('puts every header field where RFC 2131 has it', () => {
    const bytes = encodeDhcpPacket(OFFER);

    assert.equal(
      bytes.toString('hex', 0, 34),
      compact('02010601 deadbeef 0007 8000 00000000 0a4d0032 0a4d0001 0a580001 525400770001'),
    );
    assert.equal(bytes.toString('latin1', 108, 122), 'undionly.kpxe\0');
    assert.equal(bytes.toString('hex', 236, 240), '63825363');
  });

  it('writes 53 and 54 first, 82 last, an end, and at least 300 bytes', () => {
    const bytes = encodeDhcpPacket(OFFER);

    assert.equal(bytes.toString('hex', 240, 265), compact('350102 36040a4d0001 0104ffffff00 52060104deadbeef ff 00'));
    assert.equal(bytes.length, 300);
  });

  it('reads back what it wrote', () => {
    const again = decodeDhcpPacket(encodeDhcpPacket(OFFER));

    assert.deepEqual(
      { ...again, options: Object.fromEntries(again.options) },
      { ...OFFER, options: Object.fromEntries(OFFER.options) },
    );
  });

  it('splits a value of more than 255 bytes and joins it again, as RFC 3396 says', () => {
    const value = Buffer.alloc(600, 0).map((_, index) => index % 251);
    const bytes = encodeDhcpPacket(
      { ...OFFER, options: new Map([[OPTION.classlessRoutes, Buffer.from(value)]]) },
      1472,
    );

    assert.deepEqual([bytes[240], bytes[241], bytes[242 + 255], bytes[243 + 255]], [121, 255, 121, 255]);
    assert.deepEqual(decodeDhcpPacket(bytes).options.get(OPTION.classlessRoutes), Buffer.from(value));
  });

  it('joins the pieces of one option also when others stand between them', () => {
    const packet = decodeDhcpPacket(requestWith(Buffer.from('4d0269500c01614d025845ff', 'hex')));

    assert.equal(textOption(packet, OPTION.userClass), 'iPXE');
    assert.equal(textOption(packet, OPTION.hostname), 'a');
  });

  it('reads options that overload the file and sname fields, in that order', () => {
    const bytes = requestWith(Buffer.from(compact('340103 0c0141 ff'), 'hex'), (all) => {
      all.fill(0, 44, 236);
      Buffer.from('0c0142ff', 'hex').copy(all, 108);
      Buffer.from('0c0143ff', 'hex').copy(all, 44);
    });

    const packet = decodeDhcpPacket(bytes);

    assert.equal(textOption(packet, OPTION.hostname), 'ABC');
    assert.deepEqual([packet.sname, packet.file, packet.options.has(OPTION.overload)], ['', '', false]);
  });

  it('skips pads one byte at a time and stops at the end option', () => {
    const packet = decodeDhcpPacket(requestWith(Buffer.from(compact('35010100003c0150 00ff 0c0141'), 'hex')));

    assert.equal(textOption(packet, OPTION.vendorClass), 'P');
    assert.equal(packet.options.has(OPTION.hostname), false);
  });

  it('takes a packet without an end option', () => {
    assert.equal(decodeDhcpPacket(requestWith(Buffer.from('350101', 'hex'))).options.get(OPTION.messageType)?.[0], 1);
  });

  it('keeps the NUL bytes of a client identifier', () => {
    const id = '01525400000001';
    const packet = decodeDhcpPacket(requestWith(Buffer.from(`3d07${id}ff`, 'hex')));

    assert.equal(packet.options.get(OPTION.clientId)?.toString('hex'), id);
  });

  for (const [what, bytes] of [
    ['an empty datagram', Buffer.alloc(0)],
    ['239 bytes', encodeDhcpPacket(OFFER).subarray(0, 239)],
    ['a wrong cookie', requestWith(Buffer.from('ff', 'hex'), (all) => all.writeUInt8(0, 236))],
    ['another op code', requestWith(Buffer.from('ff', 'hex'), (all) => all.writeUInt8(3, 0))],
    ['InfiniBand', requestWith(Buffer.from('ff', 'hex'), (all) => all.writeUInt8(32, 1))],
    ['a hardware address of 16 bytes', requestWith(Buffer.from('ff', 'hex'), (all) => all.writeUInt8(16, 2))],
    ['an option without a length', requestWith(Buffer.from('35', 'hex'))],
    ['an option that is longer than the packet', requestWith(Buffer.from('350aff', 'hex'))],
  ] as const) {
    it(`refuses ${what} with invalid_input`, () => {
      assert.throws(() => decodeDhcpPacket(bytes), { code: 'invalid_input' });
    });
  }

  it('leaves out the last options when the client takes no larger packet, but never 53, 54 and 82', () => {
    const bytes = encodeDhcpPacket({
      ...OFFER,
      options: new Map([
        ...OFFER.options,
        [OPTION.bootFileName, Buffer.alloc(200, 65)],
        [OPTION.domainSearch, Buffer.alloc(200, 66)],
      ]),
    });
    const { options } = decodeDhcpPacket(bytes);

    assert.ok(bytes.length <= 548);
    assert.deepEqual(
      [53, 54, 82, 67, 119].map((code) => options.has(code)),
      [true, true, true, true, false],
    );
  });

  it('refuses to cut a file name that does not fit its field', () => {
    assert.throws(() => encodeDhcpPacket({ ...OFFER, file: 'x'.repeat(129) }), { code: 'invalid_input' });
  });

  it('refuses each of 200 000 damaged packets with invalid_input or reads it, and what it reads can be written and read again', () => {
    const seed = encodeDhcpPacket({
      ...OFFER,
      op: 'request',
      sname: 'server',
      options: new Map([...OFFER.options, [52, Buffer.from([3])]]),
    });
    const random = pseudoRandom(20_261_122);
    let decoded = 0;
    for (let round = 0; round < 200_000; round += 1) {
      const bytes = damage(seed, random);
      const packet = decodeOrUndefined(bytes);
      if (packet === undefined) continue;
      decoded += 1;
      // Every tenth, for time.
      if (decoded % 10 !== 0) continue;
      const again = decodeDhcpPacket(encodeDhcpPacket(packet, 65_000));
      assert.equal(summaryOf(again), summaryOf(packet), bytes.toString('hex'));
    }
    assert.ok(decoded > 50_000, `only ${decoded} packets were readable: the test would prove nothing`);
  });
});

function decodeOrUndefined(bytes: Buffer): DhcpPacket | undefined {
  try {
    return decodeDhcpPacket(bytes);
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'invalid_input');
    return undefined;
  }
}

function summaryOf(packet: DhcpPacket): string {
  const options = [...packet.options]
    .toSorted(([a], [b]) => a - b)
    .map(([code, value]) => `${code}=${value.toString('hex')}`);
  return JSON.stringify({ ...packet, options });
}

/** mulberry32: the same numbers in every run. */
function pseudoRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function damage(seed: Buffer, random: (below: number) => number): Buffer {
  const bytes = Buffer.from(seed);
  const places = 1 + random(6);
  for (let place = 0; place < places; place += 1) {
    // Half of the hits go to the options, where the structure is.
    const at = random(2) === 0 ? random(bytes.length) : 240 + random(bytes.length - 240);
    bytes[at] = random(256);
  }
  return random(8) === 0 ? bytes.subarray(0, random(bytes.length + 1)) : bytes;
}
