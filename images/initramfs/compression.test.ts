import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { compressor, parseCompression } from './compression.ts';

async function compress(text: string, bytes: Buffer): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of Readable.from([bytes]).pipe(compressor(parseCompression(text)))) parts.push(part);
  return Buffer.concat(parts);
}

describe('compressor', () => {
  it('gives back the same bytes and, run again, the same archive', async () => {
    const bytes = Buffer.from('tinsmith '.repeat(10_000));

    assert.ok(zstdDecompressSync(await compress('zstd:3', bytes)).equals(bytes));
    assert.ok(gunzipSync(await compress('gzip', bytes)).equals(bytes));
    assert.ok((await compress('none', bytes)).equals(bytes));
    for (const format of ['zstd:3', 'gzip']) {
      assert.ok((await compress(format, bytes)).equals(await compress(format, bytes)), format);
    }
  });

  it('keeps the window that the kernel must hold at 8 MiB, also at the highest levels', async () => {
    const frame = await compress('zstd:22', Buffer.alloc(1000, 1));
    const hasWindow = ((frame[4] ?? 0) & 0x20) === 0;
    const windowLog = 10 + ((frame[5] ?? 0) >> 3);

    assert.ok(hasWindow, 'a streamed frame states its window');
    assert.equal(windowLog, 23);
  });
});

describe('parseCompression', () => {
  it('reads a format and its level', () => {
    assert.deepEqual(parseCompression('zstd'), { format: 'zstd' });
    assert.deepEqual(parseCompression('gzip:6'), { format: 'gzip', level: 6 });
  });

  it('refuses unknown formats and levels with the list of what there is', () => {
    for (const text of ['xz', 'zstd:', 'zstd:1.5', 'none:x', '']) {
      assert.throws(() => parseCompression(text), { code: 'usage', message: /give zstd, gzip or none/ }, text);
    }
    assert.throws(() => parseCompression('zstd:23'), /its levels are 1 to 22/);
    assert.throws(() => parseCompression('gzip:0'), /its levels are 1 to 9/);
  });
});
