import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fetchUserData } from './user-data.ts';

async function serve(listener: RequestListener): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('user data', () => {
  it('is asked for with a token where the service wants one', async () => {
    const asked: string[] = [];
    await using service = await serve((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      const ttl = Number(request.headers['x-aws-ec2-metadata-token-ttl-seconds']);
      if (request.method === 'PUT') response.end(ttl > 0 ? 'good\n' : '');
      else if (request.headers['x-aws-ec2-metadata-token'] === 'good') response.end('data');
      else response.writeHead(401).end();
    });

    const data = await fetchUserData([`${service.url}/`], AbortSignal.timeout(10_000));

    assert.equal(data.toString(), 'data');
    assert.deepEqual(asked, ['GET /2009-04-04/user-data', 'PUT /latest/api/token', 'GET /2009-04-04/user-data']);
  });
});
