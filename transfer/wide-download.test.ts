/** Several connections at once to a server that is far away: the same bytes in the same order, whatever the server does. */
import assert from 'node:assert/strict';
import { createHash, type Hash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { farServer, rangeOf, writeHead } from '#test/support/far-server.ts';
import { type Answer, hostileServer } from '#test/support/hostile-server.ts';
import { TinsmithError } from '../proto/errors.ts';
import { Download, type DownloadOptions } from './download.ts';
import { wideDownload } from './wide-download.ts';

const MIB = 1 << 20;
const body = randomBytes(56 * MIB + 12_345);
const far = () => farServer({ roundTripMs: 5, windowBytes: 512 * 1024 });
const TIMING = { answerMs: 10_000, stallMs: 10_000, firstPauseMs: 1, longestPauseMs: 20 };

/** Fetches everything; `answers` are for the first requests, `others` for those behind. */
async function fetchAll(answers: readonly Answer[], { retryForMs = 20_000, farMs = 1 } = {}) {
  const lines: string[] = [];
  await using server = await hostileServer(body, answers);
  const options = {
    url: server.url,
    proxy: {},
    signal: new AbortController().signal,
    retryForMs,
    hasChecksum: false,
    log: (line: string) => lines.push(line),
    timing: { ...TIMING, farMs },
  };
  const hash = createHash('sha256');
  const result = await collect(options, hash).catch((thrown: unknown) => TinsmithError.from(thrown));
  const isRight = hash.digest('hex') === createHash('sha256').update(body).digest('hex');
  return { result, isRight, requests: server.requests, lines };
}

async function collect(options: DownloadOptions, hash: Hash): Promise<number> {
  const download = new Download(options);
  await download.open();
  for await (const chunk of wideDownload(download, options)) hash.update(chunk);
  return download.bytes;
}

/** Ranges of a known end: those that several connections ask for. */
function ranges(requests: readonly string[]): string[] {
  return requests.filter((request) => /bytes=\d+-\d+$/.test(request));
}

describe('a download from far away', () => {
  it('goes over several connections that are asked again and again', async () => {
    const { answer, underWay } = far();
    const sockets = new Set<unknown>();

    const { result, isRight, requests } = await fetchAll([
      (request, response, whole) => {
        sockets.add(request.socket);
        answer(request, response, whole);
      },
    ]);

    assert.equal(result, body.length);
    assert.ok(isRight);
    assert.ok(underWay.most >= 3, `${underWay.most} at once`);
    const asked = ranges(requests);
    assert.equal(new Set(asked).size, asked.length, 'nothing is asked for twice');
    assert.ok(asked.length > 20 && sockets.size <= 5, `${asked.length} ranges over ${sockets.size} connections`);
  });

  it('goes on after cuts, in the middle of a range and before it', async () => {
    const { answer } = far();
    let count = 0;

    const { isRight } = await fetchAll([
      (request, response, whole) => {
        count += 1;
        if (count % 5 !== 0) return answer(request, response, whole);
        writeHead(request, response, whole.length);
        const { from } = rangeOf(request, whole.length);
        response.write(whole.subarray(from, from + 100_000), () => response.destroy());
      },
    ]);

    assert.ok(isRight);
  });

  for (const status of [429, 503]) {
    it(`is content with fewer connections when the server answers ${status} to more`, async () => {
      const { answer, underWay } = far();

      const { isRight, lines } = await fetchAll([
        (request, response, whole) => {
          if (underWay.now >= 2) response.writeHead(status).end();
          else answer(request, response, whole);
        },
      ]);

      assert.ok(isRight);
      assert.ok(
        lines.some((line) => /on with [23] connections/.test(line)),
        lines.join('\n'),
      );
      assert.equal(underWay.most, 2);
    });
  }

  for (const [what, odd] of [
    [
      'the whole file',
      (request, response, whole) => {
        response.writeHead(200, { etag: '"v1"', 'content-length': whole.length });
        response.end(request.method === 'GET' ? whole : undefined);
      },
    ],
    ['416', (_request, response) => void response.writeHead(416).end()],
    [
      'another range',
      (request, response, whole) => {
        const { from, end } = rangeOf(request, whole.length);
        const contentRange = `bytes ${from + 1}-${end}/${whole.length}`;
        response.writeHead(206, { etag: '"v1"', 'content-length': end - from, 'content-range': contentRange });
        response.end(whole.subarray(from + 1, end + 1));
      },
    ],
  ] satisfies readonly (readonly [string, Answer])[]) {
    it(`goes back to one connection when the server answers a range with ${what}`, async () => {
      const { answer } = far();

      const { isRight, lines } = await fetchAll([
        (request, response, whole) => {
          const isWide = /-\d+$/.test(request.headers.range ?? '');
          if (isWide) odd(request, response, whole);
          else answer(request, response, whole);
        },
      ]);

      assert.ok(isRight);
      assert.ok(
        lines.some((line) => line.endsWith('on with one connection')),
        lines.join('\n'),
      );
    });
  }

  it('does not mix two versions of a file', async () => {
    const { answer } = far();
    let count = 0;

    const { result } = await fetchAll([
      (request, response, whole) => {
        count += 1;
        if (count < 10) return answer(request, response, whole);
        writeHead(request, response, whole.length, '"v2"');
        const { from, end } = rangeOf(request, whole.length);
        response.end(whole.subarray(from, end));
      },
    ]);

    assert.ok(result instanceof TinsmithError && result.code === 'download_failed');
    assert.match(result.message, /the file changed/);
  });

  it('gives up when nothing comes any more', async () => {
    const { answer } = far();
    let count = 0;

    const { result } = await fetchAll(
      [
        (request, response, whole) => {
          count += 1;
          if (count < 10) answer(request, response, whole);
          else response.destroy();
        },
      ],
      { retryForMs: 300 },
    );

    assert.ok(result instanceof TinsmithError && result.code === 'download_failed');
    assert.match(result.message, /no new byte/);
  });

  it('stays with one connection where the server is near, or does not name its file', async () => {
    const near = await fetchAll(
      [
        (request, response, whole) => {
          writeHead(request, response, whole.length);
          response.end(whole);
        },
      ],
      { farMs: 60_000 },
    );
    const { answer } = far();
    const nameless = await fetchAll([
      (request, response, whole) => {
        response.setHeader('etag', 'W/"v1"');
        const writeHeadOf = response.writeHead.bind(response);
        response.writeHead = ((code: number, headers: Record<string, string>) =>
          writeHeadOf(code, { ...headers, etag: 'W/"v1"' })) as typeof response.writeHead;
        answer(request, response, whole);
      },
    ]);

    assert.ok(near.isRight && nameless.isRight);
    assert.deepEqual([near.requests, nameless.requests], [['GET all'], ['GET all']]);
  });
});
