import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { type Answer, hostileServer } from '#test/support/hostile-server.ts';
import { Download } from './download.ts';

const BODY = Buffer.from('the whole file, in chunks');
const timing = { answerMs: 10_000, stallMs: 10_000, firstPauseMs: 5, longestPauseMs: 20 };

/** All of it in chunks, and the connection is cut before the last one, which is empty. */
const cutAtEnd: Answer = (_, response, body) => {
  response.writeHead(200, { etag: '"v1"', 'transfer-encoding': 'chunked' });
  response.write(body, () => response.destroy());
};

/** Begins, and says nothing that the rest could be asked for by. */
const stalled: Answer = (_, response, body) => {
  response.writeHead(200, { 'content-length': body.length });
  response.write(body.subarray(0, 5));
};

function endAt(bytes: number | undefined, etag?: string): Answer {
  return (_, response) => {
    const range = bytes === undefined ? {} : { 'content-range': `bytes */${bytes}` };
    response.writeHead(416, { ...range, ...(etag !== undefined && { etag }) });
    response.end('no such range');
  };
}

async function fetched(second: Answer): Promise<string> {
  await using server = await hostileServer(BODY, [cutAtEnd, second]);
  const signal = AbortSignal.timeout(30_000);
  const options = { url: server.url, proxy: {}, signal, hasChecksum: false, retryForMs: 1000, timing };
  let text = '';
  for await (const bytes of new Download({ ...options, log: () => undefined })) text += Buffer.from(bytes).toString();
  return text;
}

describe('a file in chunks whose connection is cut behind its last byte', () => {
  it('is whole when the server says that nothing follows', async () => {
    assert.equal(await fetched(endAt(BODY.length)), BODY.toString());
    assert.equal(await fetched(endAt(BODY.length, '"v1"')), BODY.toString());
  });

  it('is not whole when the server says another length, another version or nothing', async () => {
    await assert.rejects(fetched(endAt(BODY.length - 1)), { code: 'download_failed', message: /the file changed/ });
    await assert.rejects(fetched(endAt(BODY.length, '"v2"')), { code: 'download_failed', message: /the file changed/ });
    await assert.rejects(fetched(endAt(undefined)), { code: 'download_failed', message: /answered 416/ });
  });
});

describe('a download that is ended on request', () => {
  it('says so, also where its server names nothing to resume with', async () => {
    const stop = new AbortController();
    await using server = await hostileServer(BODY, [stalled]);
    const options = { url: server.url, proxy: {}, signal: stop.signal, hasChecksum: false, retryForMs: 1000, timing };
    const reason = new TinsmithError('cancelled', 'it was cancelled on request');

    await assert.rejects(async () => {
      for await (const _ of new Download({ ...options, log: () => undefined })) stop.abort(reason);
    }, reason);
  });
});
