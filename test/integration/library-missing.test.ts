/** A machine that wants an image which the library has not: its error says what the server says of it, and nothing else that is sent. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fetchIndex } from '#agent/write/library/library-mirrors.ts';
import { TinsmithError } from '#proto/errors.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { type Answer, hostileServer } from '#test/support/hostile-server.ts';
import { addImage, type LibrarySite, startLibrarySite } from '#test/support/library-site.ts';

const LIMIT = { timeout: 20_000 };
const TIMING = { answerMs: 500, stallMs: 500, firstPauseMs: 1, longestPauseMs: 20 };
let site: LibrarySite;

before(async () => {
  site = await startLibrarySite();
  await addImage(site.library, 'debian-12', diskImage());
});

after(() => site[Symbol.asyncDispose]());

async function body(path: string): Promise<string> {
  return (await fetch(new URL(`library/${path}`, site.url))).text();
}

/** What the action says. */
async function errorOf(image: string, library: URL): Promise<string> {
  const request = { image, mirrors: [library], publicKey: '', proxy: {}, retryForMs: 10_000, timing: TIMING };
  const thrown = await fetchIndex(request, { signal: AbortSignal.timeout(15_000), log: () => undefined }).then(
    () => assert.fail('there is no such image'),
    (reason: unknown) => TinsmithError.from(reason),
  );
  assert.equal(thrown.code, 'download_failed');
  return thrown.message;
}

/** What it says behind its URL when a server answers 404 with this. */
async function saidOf(body: string, type = 'text/plain; charset=utf-8'): Promise<string> {
  return saidBy((_request, response) => response.writeHead(404, { 'content-type': type }).end(body));
}

async function saidBy(answer: Answer): Promise<string> {
  await using server = await hostileServer(Buffer.alloc(0), [answer]);
  const message = await errorOf('debain-12', new URL(server.url));
  return message.replace(/^cannot fetch http:\S+\/debain-12\/index\.json: /, '');
}

describe('an image that the library has not', () => {
  it('is told by the server with the one that may be meant', LIMIT, async () => {
    assert.equal(
      await body('debain-12/index.json'),
      'the library has no debain-12/index.json (did you mean debian-12?)\n',
    );
    assert.equal(await body('fedora/index.json'), 'the library has no fedora/index.json\n');
    assert.equal(await body('constructor/index.json'), 'the library has no constructor/index.json\n');
    assert.equal(await body('debian-12/other'), 'the library has no debian-12/other\n');
  });

  it('is told by the action, with the one that may be meant', LIMIT, async () => {
    const library = new URL('library/', site.url);

    assert.match(
      await errorOf('debain-12', library),
      /^cannot fetch http:\S+\/library\/debain-12\/index\.json: the server answered 404: the library has no image debain-12 \(did you mean debian-12\?\)$/,
    );
    assert.match(await errorOf('fedora', library), /: the server answered 404: the library has no image fedora$/);
  });

  it('is told in no words but our own', LIMIT, async () => {
    const line = 'the library has no debain-12/index.json (did you mean debian-12?)';
    for (const text of [
      '',
      '<html><body>404: did you mean <b>debian-12</b>?</body></html>',
      `<pre>${line}</pre>\n`,
      `${line}\n${line}`,
      line.replace('debain-12', 'other'),
      line.replace('debian-12?', 'debian-12\u001b[2J?'),
      line.replace('debian-12?', 'reboot now?'),
      line.replace('debian-12?', 'https://evil.example?'),
      line.replace('debian-12?', `${'d'.repeat(200)}?`),
      `${line}\n${' '.repeat(5000)}`,
    ]) {
      assert.equal(await saidOf(`${text}\n`), 'the server answered 404', text.slice(0, 80));
    }
    assert.equal(await saidOf(line), 'the server answered 404', 'it may have been cut');
    for (const type of ['text/html; charset=utf-8', 'application/json', 'text/plain; charset=utf-16']) {
      assert.equal(await saidOf(`${line}\n`, type), 'the server answered 404', type);
    }
    assert.match(await saidOf(`${line}\n`), /^the server answered 404: the library has no image debain-12 \(did/);
  });

  it('is not waited for when the words do not come, or do not end', LIMIT, async () => {
    const head = { 'content-type': 'text/plain; charset=utf-8' };
    const dribble: Answer = (_request, response) => {
      response.writeHead(404, head);
      const timer = setInterval(() => response.write('the '), 20);
      response.on('close', () => clearInterval(timer));
    };
    const flood: Answer = (_request, response) => {
      response.writeHead(404, head);
      const pour = (): void => {
        while (!response.destroyed && response.write('the library '.repeat(1000)));
      };
      response.on('drain', pour);
      pour();
    };
    const cut: Answer = (_request, response) => {
      response.writeHead(404, { ...head, 'content-length': 100 });
      response.write('the library', () => response.destroy());
    };
    const silent: Answer = (_request, response) => response.writeHead(404, head).flushHeaders();
    for (const answer of [dribble, flood, cut, silent]) {
      assert.equal(await saidBy(answer), 'the server answered 404');
    }
  });
});
