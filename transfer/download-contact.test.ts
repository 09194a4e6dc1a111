import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { Download } from './download.ts';

const timing = { answerMs: 1000, stallMs: 1000, firstPauseMs: 5, longestPauseMs: 20 };

/** Of a server that cuts its answer after `sent` bytes and is gone then. */
async function downloadOf(sent: number, signal: AbortSignal): Promise<Download> {
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-length': '10', etag: '"1"' });
    response.write('x'.repeat(sent), () => {
      response.destroy();
      server.close();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  // It is a TCP server, which has an address with a port.
  const { port } = server.address() as AddressInfo;
  if (sent === 0) server.close();
  const url = `http://127.0.0.1:${port}/image`;
  const limits = { retryForMs: 60_000, contactForMs: 100 };
  return new Download({ url, proxy: {}, signal, hasChecksum: true, log: () => undefined, timing, ...limits });
}

describe('a download with a limit for its first byte', () => {
  it('soon gives up a server that is not there', async (context) => {
    const download = await downloadOf(0, context.signal);
    await assert.rejects(download.open(), { code: 'download_failed', message: /ECONNREFUSED/ });
  });

  it('waits longer for a server that gave some bytes already', async () => {
    const signal = AbortSignal.timeout(600);
    const download = await downloadOf(4, signal);
    await assert.rejects(
      async () => {
        for await (const _ of download);
      },
      { name: 'TimeoutError' },
    );
    assert.equal(download.bytes, 4);
  });
});
