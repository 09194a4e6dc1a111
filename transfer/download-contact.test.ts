import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { messageOf } from '#proto/errors.ts';
import { makeAuthority } from '#test/support/site-authority.ts';
import { addressFix, certificateFix } from './contact-errors.ts';
import { Download, type DownloadOptions } from './download.ts';
import { RangedFile } from './ranged-file.ts';

const timing = { answerMs: 10_000, stallMs: 10_000, firstPauseMs: 5, longestPauseMs: 20 };

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
    const stop = new AbortController();
    const download = await downloadOf(4, stop.signal);
    await assert.rejects(async () => {
      for await (const _ of download) setTimeout(() => stop.abort(new Error('it waited')), 500);
    }, /it waited/);
    assert.equal(download.bytes, 4);
  });
});

describe('a URL whose user cannot be read', () => {
  it('ends its download at once, and no request is made', async () => {
    const url = 'http://usr:S3CRET%PW@127.0.0.1:1/image';
    const limits = { retryForMs: 60_000, log: (text: string) => assert.fail(text) };
    const download = new Download({
      url,
      proxy: {},
      signal: AbortSignal.timeout(20_000),
      hasChecksum: true,
      timing,
      ...limits,
    });
    await assert.rejects(download.open(), {
      code: 'download_failed',
      message: /^cannot fetch http:\/\/127\.0\.0\.1:1\/image: the URL has a % in .* write the % as %25$/,
    });
  });
});

/** What an import whose asker waits says of a URL; its patience would last for a minute. */
async function refusalOf(url: string, options: Partial<DownloadOptions> = {}): Promise<string> {
  const limits = { retryForMs: 60_000, contactForMs: 60_000, endsUnreached: true };
  const signal = AbortSignal.timeout(30_000);
  const download = new Download({
    url,
    proxy: {},
    signal,
    hasChecksum: false,
    log: () => undefined,
    timing,
    ...limits,
    ...options,
  });
  try {
    await download.open();
    return 'it came';
  } catch (thrown) {
    return messageOf(thrown);
  } finally {
    download.close();
  }
}

async function listening(server: Server): Promise<AsyncDisposable & { readonly host: string }> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  // It is a TCP server, which has an address with a port.
  const { port } = server.address() as AddressInfo;
  return { host: `127.0.0.1:${port}`, [Symbol.asyncDispose]: async () => void server.close() };
}

describe('a download that cannot begin', () => {
  it('says at once whose certificate is not trusted, and how it will be', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-contact-'));
    await using server = await listening(createTlsServer(makeAuthority(folder.path), (_, answer) => void answer.end()));

    for (const options of [{}, { endsUnreached: false }]) {
      const refusal = await refusalOf(`https://${server.host}/d.raw`, options);

      assert.match(refusal, /^cannot fetch https:.*certificate is not accepted: .*: name .* tinsmith serve --tls-ca$/);
      assert.doesNotMatch(refusal, /Node/);
    }
  });

  it('says it after some tries where nobody waits: a machine that is told only by its log is told soon, too', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-contact-'));
    await using server = await listening(createTlsServer(makeAuthority(folder.path), (_, answer) => void answer.end()));
    const tries: string[] = [];
    const how = { proxy: {}, signal: AbortSignal.timeout(20_000), hasChecksum: true, retryForMs: 60_000 };
    const patience = { ...how, log: (text: string) => tries.push(text), timing: { ...timing, distrustMs: 50 } };
    const url = `https://${server.host}/d.raw`;
    const told = { code: 'download_failed', message: /certificate is not accepted: .* tinsmith serve --tls-ca$/ };

    await assert.rejects(new Download({ ...patience, url }).open(), told);
    assert.ok(tries.length >= 2, tries.join('\n'));
    await assert.rejects(RangedFile.open({ ...patience, url }), told);
  });

  it('says at once that a server speaks no TLS', async () => {
    await using server = await listening(createServer((_, answer) => void answer.end()));

    const refusal = await refusalOf(`https://${server.host}/d.raw`);

    assert.match(refusal, /it does not speak TLS \(EPROTO\): use http:\/\/ or the port that speaks TLS$/);
  });

  it('says that a server leaves before TLS is agreed on', async () => {
    await using server = await listening(
      createTcpServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => socket.end());
      }),
    );

    const refusal = await refusalOf(`https://${server.host}/d.raw`, { contactForMs: 100 });

    assert.match(refusal, /it closed the connection before TLS was agreed on: use http:\/\/ if it speaks no TLS$/);
  });

  it('names the server that it was sent to', async () => {
    await using server = await listening(
      createServer(
        (_, answer) => void answer.writeHead(302, { location: 'http://127.0.0.1:9/there?sig=secret' }).end(),
      ),
    );

    const refusal = await refusalOf(`http://${server.host}/d.raw`);

    assert.match(
      refusal,
      /d\.raw: it redirects to http:\/\/127\.0\.0\.1:9\/there.*ECONNREFUSED.*: correct the address/,
    );
    assert.doesNotMatch(refusal, /secret/);
  });

  it('names what whoever wants the file can do', async () => {
    await using server = await listening(
      createTcpServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\n'));
      }),
    );
    const fixes = { sum: 'give its sum', again: 'again' };

    assert.match(await refusalOf(`http://${server.host}/d.raw`, { fixes }), /: give its sum or use another server$/);
    assert.match(await refusalOf(`http://${server.host}/d.raw`), /: set IMG_SHA256 or use another server$/);
  });
});

describe('what is done about a certificate', () => {
  it('names the time of a clock that may be wrong', () => {
    const early = Object.assign(new Error('certificate is not yet valid'), { code: 'CERT_NOT_YET_VALID' });

    const fix = certificateFix(early, new Date('2001-02-03T04:05:06Z'));

    assert.equal(fix, 'renew it, or set the clock of this host, which says 2001-02-03T04:05Z');
  });
});

describe('what is done about an address', () => {
  it('is told for a name that nobody knows, or knows now', () => {
    for (const code of ['ENOTFOUND', 'EAI_AGAIN']) {
      assert.match(addressFix(Object.assign(new Error('getaddrinfo'), { code })) ?? '', /correct the/);
    }
    assert.equal(addressFix(Object.assign(new Error('read'), { code: 'ECONNRESET' })), undefined);
  });
});
