import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checksumsOf } from './checksum-list.ts';

const A = 'a'.repeat(64);
const B = 'B'.repeat(64);
const LONG = 'c'.repeat(128);

describe('a list of checksums', () => {
  for (const [title, text, expected] of [
    ['GNU lines, text and binary', `${A}  x.img\n${B} *disk.img\n`, [B]],
    ['GNU lines with folders', `${A}  ./images/disk.img\r\n`, [A]],
    ['BSD lines', `SHA256 (x.img) = ${A}\nSHA256 (disk.img) = ${B}\nMD5 (disk.img) = ${'d'.repeat(32)}\n`, [B]],
    ['SHA-512', `${LONG}  disk.img\n`, [LONG]],
    ['both sums, which must both be right', `SHA256 (disk.img) = ${A}\nSHA512 (disk.img) = ${LONG}\n`, [A, LONG]],
    ['a byte order mark', `\uFEFF${A}  disk.img\n`, [A]],
    ['a sum alone', `${B}\n`, [B]],
    [
      'comments and armor around it',
      `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disk.img: 5 bytes\n${A}  disk.img\n`,
      [A],
    ],
    ['the same line twice', `${A}  disk.img\n${A}  old/disk.img\n`, [A]],
  ] as const) {
    it(`may have ${title}`, () => {
      assert.deepEqual(
        checksumsOf(text, 'disk.img', 'the list').map(({ sum }) => sum),
        expected.map((sum) => sum.toLowerCase()),
      );
    });
  }

  it('that lacks the file is refused, with the names that it has', () => {
    const wrong = [
      [`${A}  disk.img.xz\n${B}  other.img\n`, /has no checksum of disk\.img: it has disk\.img\.xz, other\.img/],
      [`${A}\n${B}\n`, /no SHA-256 or SHA-512 sums with names/],
      ['<html>', /no SHA-256 or SHA-512 sums/],
      [`${'d'.repeat(32)}  disk.img\n`, /no SHA-256 or SHA-512 sums/],
      [`SHA256 (disk.img) = ${LONG}\n`, /no SHA-256/],
      [Array.from({ length: 30 }, (_, i) => `${A}  ${i}.img`).join('\n'), /19\.img and 10 more$/],
    ] as const;

    for (const [text, message] of wrong) {
      assert.throws(() => checksumsOf(text, 'disk.img', 'the list'), { code: 'invalid_input', message });
    }
  });

  it('that has two sums for the file is refused', () => {
    assert.throws(() => checksumsOf(`${A}  a/disk.img\n${B}  b/disk.img\n`, 'disk.img', 'the list'), /two sums/);
  });
});
