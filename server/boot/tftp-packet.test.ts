import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  decodeTftpReport,
  decodeTftpRequest,
  encodeTftpError,
  encodeTftpOptions,
  tftpDataHeader,
} from './tftp-packet.ts';

function request(opcode: number, ...words: readonly string[]): Buffer {
  return Buffer.concat([Buffer.from([0, opcode]), Buffer.from(words.map((word) => `${word}\0`).join(''), 'latin1')]);
}

describe('tftp packet', () => {
  it('reads file, mode and options in any case and order', () => {
    assert.deepEqual(
      decodeTftpRequest(
        request(1, 'a/b.efi', 'OCTET', 'TSIZE', '0', 'BlkSize', '1468', 'windowsize', '4', 'timeout', '3'),
      ),
      {
        kind: 'read',
        file: 'a/b.efi',
        mode: 'octet',
        options: { tsize: 0, blksize: 1468, windowsize: 4, timeout: 3 },
      },
    );
  });

  it('ignores options that it doesn’t know or whose value is not allowed, as RFC 2347 says', () => {
    const options = [
      'blksize',
      '7',
      'blksize',
      '1e3',
      'tsize',
      '5',
      'timeout',
      '256',
      'timeout',
      '11',
      'windowsize',
      '-1',
      'multicast',
      '',
      'constructor',
      '1',
      'blksize',
    ];

    assert.deepEqual(decodeTftpRequest(request(1, 'f', 'octet', ...options)).options, {});
  });

  for (const [what, bytes] of [
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from([0])],
    ['an acknowledgement', Buffer.from([0, 4, 0, 0])],
    ['a request without mode', request(1, 'file')],
    ['a file name without end', Buffer.from('\0\x01file')],
    ['another mode', request(1, 'file', 'binary')],
    ['a path that climbs', request(1, '../etc/passwd', 'octet')],
    ['a request of two kilobytes', request(1, 'f'.repeat(2000), 'octet')],
  ] as const) {
    it(`refuses ${what} with invalid_input`, () => {
      assert.throws(() => decodeTftpRequest(bytes), { code: 'invalid_input' });
    });
  }

  it('reads acknowledgements and errors, and nothing else, from a running transfer', () => {
    assert.deepEqual(decodeTftpReport(Buffer.from([0, 4, 0xff, 0xfe])), { kind: 'ack', block: 0xfffe });
    assert.deepEqual(decodeTftpReport(encodeTftpError(8, 'no')), { kind: 'error', code: 8, message: 'no' });
    assert.deepEqual(decodeTftpReport(Buffer.from([0, 5, 0, 2, 65])), { kind: 'error', code: 2, message: '' });
    for (const bytes of [[], [0], [0, 4], [0, 4, 1], [0, 1, 0, 0], [9, 9, 9, 9]]) {
      assert.equal(decodeTftpReport(Buffer.from(bytes)), undefined);
    }
  });

  it('writes data headers with the low 16 bits of the block and option acknowledgements as text', () => {
    assert.equal(tftpDataHeader(65_537).toString('hex'), '00030001');
    assert.equal(
      encodeTftpOptions({ tsize: 300, blksize: 1468 }).toString('latin1'),
      '\0\x06tsize\x00300\0blksize\x001468\0',
    );
  });

  it('never throws anything but invalid_input for random requests', () => {
    let state = 7;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % below;
    };
    for (let round = 0; round < 50_000; round += 1) {
      const bytes = request(1, 'dir/file', 'octet', 'blksize', '512', 'tsize', '0');
      for (let hit = 0; hit < 3; hit += 1) bytes[random(bytes.length)] = random(256);
      try {
        decodeTftpRequest(bytes.subarray(0, random(bytes.length + 1)));
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'invalid_input', bytes.toString('hex'));
      }
    }
  });
});
