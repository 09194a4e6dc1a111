/** Sources and mirrors behind TLS of a site's own authority, for the server and for a machine. */
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ERROR_CODES } from '#proto/errors.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { Site } from '#test/support/site.ts';
import { makeAuthority, type TlsIdentity } from '#test/support/site-authority.ts';

const IMAGE = diskImage();
const MIB = 1 << 20;
let folder: string;
let identity: TlsIdentity;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-authority-'));
  identity = makeAuthority(folder);
});

after(() => rm(folder, { recursive: true, force: true }));

/** `/image.raw` is the image; everything else a file below `blobs()`, with ranges. */
async function tlsServer(blobs: () => string) {
  const served: string[] = [];
  const sendPart = async (path: string, request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const file = join(blobs(), path);
    const { size } = await stat(file);
    const [, from = '0', last = `${size - 1}`] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const [start, end] = [Number(from), Math.min(Number(last), size - 1)];
    served.push(path);
    const range = { 'content-range': `bytes ${start}-${end}/${size}`, 'content-length': end - start + 1 };
    response.writeHead(206, range);
    createReadStream(file, { start, end }).pipe(response);
  };
  const server = createServer({ ...identity }, (request, response) => {
    if (request.url === '/image.raw') {
      response.writeHead(200, { 'content-length': IMAGE.length, etag: '"1"' }).end(IMAGE);
    } else {
      sendPart(request.url ?? '', request, response).catch(() => response.writeHead(404).end());
    }
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}/`,
    served,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => void server.close(resolve));
    },
  };
}

describe('a site’s own authority', { timeout: 110_000 }, () => {
  it('is trusted by imports and by machines that ask a mirror, and by nobody who was not told', async () => {
    let site: Site | undefined;
    await using mirror = await tlsServer(() => join(site?.folder ?? '', 'data/library/blobs'));
    await using strict = await Site.start({});
    const refused = await strict.cli('image', 'add', 'a', `${mirror.url}image.raw`);
    assert.equal(refused.code, ERROR_CODES.download_failed.exit);
    assert.match(refused.stderr, /certificate is not accepted: .*: name .* tinsmith serve --tls-ca/);

    await using trusting = await Site.start({ 'tls-ca': join(folder, 'ca.pem'), 'library-mirrors': mirror.url });
    site = trusting;
    const added = await trusting.cli('image', 'add', 'a', `${mirror.url}image.raw`);
    assert.equal(added.code, 0, added.stderr);
    await trusting.install(1, { IMG_URL: 'library:a' });
    const machine = await trusting.boot(1);
    await machine.end;

    const disk = await machine.disk();
    assert.ok(disk.subarray(MIB, IMAGE.length - MIB).equals(IMAGE.subarray(MIB, IMAGE.length - MIB)));
    assert.ok(mirror.served.some((path) => path.endsWith('/image.zst')));
  });

  it('has to be one', async () => {
    await assert.rejects(Site.start({ 'tls-ca': join(folder, 'host.pem') }), /--tls-ca.*is no certificate authority/);
    await assert.rejects(Site.start({ 'tls-ca': join(folder, 'ca.key') }), /--tls-ca.*holds no certificate in PEM/);
  });
});
