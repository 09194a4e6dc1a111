import assert from 'node:assert/strict';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { hostileServer, wholeFile } from '#test/support/hostile-server.ts';
import { httpGet, proxyFor } from './http-request.ts';

const signal = new AbortController().signal;
const OPTIONS = { headers: {}, proxy: {}, answerMs: 20_000, signal };

/** A server that sends exactly these bytes to whoever asks, in pieces of `step` bytes, and closes. */
async function rawServer(answer: string, step = answer.length): Promise<AsyncDisposable & { readonly url: URL }> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      for (let at = 0; at < answer.length; at += step) socket.write(answer.slice(at, at + step), 'latin1');
      socket.end();
    });
    socket.setNoDelay(true);
  });
  return listening(server);
}

async function listening(
  server: Server | ReturnType<typeof createTcpServer>,
): Promise<AsyncDisposable & { readonly url: URL }> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: new URL(`http://127.0.0.1:${port}/x`),
    [Symbol.asyncDispose]: async () => {
      await new Promise((resolve) => {
        server.close(resolve);
      });
    },
  };
}

async function bodyOf(answer: string, step?: number): Promise<string> {
  await using server = await rawServer(answer, step);
  const response = await httpGet(server.url, OPTIONS);
  let text = '';
  for await (const piece of response) text += Buffer.from(piece).toString('latin1');
  return text;
}

describe('an answer', () => {
  const chunks =
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;name=value\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n';

  it('is read the same however the network cuts it', async () => {
    for (const step of [1, 2, 3, 7, 50, chunks.length]) assert.equal(await bodyOf(chunks, step), 'hello world');
    assert.equal(
      await bodyOf('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabcd', 1),
      'ab',
    );
    assert.equal(await bodyOf('HTTP/1.0 200 OK\r\n\r\nto the end'), 'to the end');
  });

  it('that ends early or makes no sense is an error', async () => {
    for (const answer of [
      '',
      'HTTP/1.1 200 OK\r\ncontent-len',
      'SSH-2.0-OpenSSH\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc',
      'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n',
      'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd',
      chunks.slice(0, -2),
      chunks.slice(0, -20),
      chunks.replace('5\r\nworld', '4\r\nworld'),
      chunks.replace('5\r\nhello', 'zz\r\nhello'),
      `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`,
    ]) {
      await assert.rejects(bodyOf(answer), `accepted ${JSON.stringify(answer.slice(0, 100))}`);
    }
  });

  it('that does not come is waited for within its time', async () => {
    const sockets: Socket[] = [];
    await using server = await listening(createTcpServer((socket) => sockets.push(socket)));

    await assert.rejects(httpGet(server.url, { ...OPTIONS, answerMs: 50 }), { code: 'timed_out' });

    for (const socket of sockets) socket.destroy();
  });
});

describe('a proxy', () => {
  it('is asked for the whole URL, with its own password', async () => {
    const seen: string[] = [];
    await using proxy = await listening(
      createServer((request, response) => {
        seen.push(`${request.url} ${request.headers['proxy-authorization']} ${request.headers.host}`);
        response.end('from the proxy');
      }),
    );
    const through = new URL(proxy.url);
    through.username = 'me';
    through.password = 'p%40ss';

    const response = await httpGet(new URL('http://images.example/a?b=c'), {
      ...OPTIONS,
      proxy: { http: through.href },
    });

    assert.equal(response.status, 200);
    assert.deepEqual(seen, [
      `http://images.example/a?b=c Basic ${Buffer.from('me:p@ss').toString('base64')} images.example`,
    ]);
    response.destroy();
  });

  it('that refuses a tunnel is named, and one that opens it is used', async () => {
    const targets: string[] = [];
    const server = createServer();
    server.on('connect', (request, socket) => {
      targets.push(request.url ?? '');
      socket.on('error', () => undefined).resume();
      if (targets.length === 1) socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      else socket.end('HTTP/1.1 200 OK\r\n\r\n');
    });
    await using proxy = await listening(server);
    const options = { ...OPTIONS, proxy: { https: proxy.url.href } };

    await assert.rejects(httpGet(new URL('https://images.example/a'), options), /answered 403/);
    await assert.rejects(httpGet(new URL('https://images.example/a'), options));

    assert.deepEqual(targets, ['images.example:443', 'images.example:443']);
  });

  it('is not used for what NO_PROXY names', () => {
    const proxy = { http: 'http://proxy:3128', except: ' .example.org, 10.0.0.0/8,host:8080,[2001:db8::1] ' };
    const isProxied = (url: string): boolean => proxyFor(new URL(url), proxy) !== undefined;

    assert.deepEqual(
      [
        'http://a.example.org',
        'http://example.org',
        'http://10.2.3.4',
        'http://host:8080',
        'http://[2001:db8::1]',
        'http://127.0.0.1',
        'http://localhost',
      ].filter(isProxied),
      [],
    );
    assert.deepEqual(['http://notexample.org', 'http://11.0.0.1', 'http://host:81', 'https://other'].map(isProxied), [
      true,
      true,
      true,
      false,
    ]);
  });
});

describe('credentials in a URL', () => {
  it('become a header and do not follow a redirect to another server', async () => {
    const seen: (string | undefined)[] = [];
    await using other = await hostileServer(Buffer.from('x'), [
      (request, response, body) => {
        seen.push(request.headers.authorization);
        wholeFile(request, response, body);
      },
    ]);
    await using first = await hostileServer(Buffer.alloc(0), [
      (request, response) => {
        seen.push(request.headers.authorization);
        response.writeHead(302, { location: other.url });
        response.end();
      },
    ]);
    const url = new URL(first.url);
    url.username = 'me';
    url.password = 'secret';

    (await httpGet(url, OPTIONS)).destroy();

    assert.deepEqual(seen, [`Basic ${Buffer.from('me:secret').toString('base64')}`, undefined]);
  });
});
