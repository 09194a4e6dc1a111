import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { Download } from './download.ts';
import { RangedFile } from './ranged-file.ts';

/** Answers `/404` with 404, and `/to/404` with a redirect to that of `target`, with a secret in its query. */
async function statusServer(target?: string): Promise<AsyncDisposable & { readonly origin: string }> {
  const server = createServer(({ url = '' }, response) => {
    const [, to, status = to] = /^\/(to|\d+)(?:\/(\d+))?/.exec(url) ?? [];
    if (to === 'to') response.writeHead(302, { location: `${target ?? ''}/${status}?X-Amz-Signature=hunter2` });
    else response.writeHead(Number(to));
    response.end();
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  // It is a TCP server, which has an address with a port.
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => void server.close(() => resolve())),
  };
}

/** The same, whether the file is read in order or at any place. */
async function refusalOf(url: string): Promise<string> {
  const options = { url, proxy: {}, signal: AbortSignal.timeout(20_000), retryForMs: 10, log: () => undefined };
  const [inOrder, anywhere] = await Promise.all([
    new Download({ ...options, hasChecksum: false }).open().catch((thrown: unknown) => TinsmithError.from(thrown)),
    RangedFile.open(options).catch((thrown: unknown) => TinsmithError.from(thrown)),
  ]);
  assert.ok(inOrder instanceof TinsmithError && anywhere instanceof TinsmithError);
  assert.equal(inOrder.message, anywhere.message);
  return inOrder.message;
}

describe('a server that does not give a file', () => {
  it('is told with what can be done', async () => {
    await using server = await statusServer();
    const withUser = server.origin.replace('http://', 'http://me:hunter2@');

    for (const [url, sentence] of [
      [`${server.origin}/404`, /\/404: the server answered 404: correct the URL$/],
      [`${server.origin}/401`, /answered 401: write user and password into the URL, http:\/\/USER:PASSWORD@host\/…$/],
      [
        `${server.origin}/403`,
        /answered 403: allow it there, write user and password into the URL, or use a presigned/,
      ],
      [`${withUser}/401`, /answered 401: correct the user and password in the URL$/],
      [`${withUser}/403`, /answered 403: correct the user and password in the URL$/],
      [`${server.origin}/400`, /answered 400$/],
    ] as const) {
      assert.match(await refusalOf(url), sentence);
    }
  });

  it('is named with the one that it was asked for, without secrets', async () => {
    await using target = await statusServer();
    await using server = await statusServer(target.origin);
    const withUser = server.origin.replace('http://', 'http://me:hunter2@');
    const cannot = `cannot fetch ${server.origin}/to`;
    const sent = `it redirects to ${target.origin}`;

    assert.equal(
      await refusalOf(`${server.origin}/to/404`),
      `${cannot}/404: ${sent}/404: the server answered 404: correct the URL`,
    );
    assert.match(await refusalOf(`${server.origin}/to/500`), new RegExp(`${sent}/500: the server answered 500$`));
    assert.match(
      await refusalOf(`${withUser}/to/401`),
      /answered 401: user and password are not sent to another server: use the URL that it redirects to$/,
    );
  });
});
