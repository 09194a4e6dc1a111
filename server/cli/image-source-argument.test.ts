import assert from 'node:assert/strict';
import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';
import type { TinsmithError } from '#proto/errors.ts';
import { imageSource } from './image-source-argument.ts';

const nothing = async (): Promise<string> => '';

describe('the source of an image', () => {
  it('is read from standard input where it is -', async () => {
    for (const line of ['https://u:secret@h/d.raw?sig=1', '/srv/d.raw', 'oci://h/a:1']) {
      assert.equal(await imageSource('-', false, async () => `${line}\n`), line);
    }
  });

  it('is refused without being shown where that is no line with a word', async () => {
    for (const text of ['', '\n', 'https://u:secret@h/a https://h/b', 'https://u:secret@h/a\nhttps://h/b\n']) {
      await assert.rejects(
        imageSource('-', false, async () => text),
        ({ code, message }: TinsmithError) => {
          assert.match(message, /give it one line/);
          assert.doesNotMatch(message, /secret/);
          return code === 'usage';
        },
      );
    }
  });

  it('is refused with the URL that may be meant, without its secrets, where the scheme was forgotten', async () => {
    const cases = [
      ['usr:S3CRETPW@10.99.0.1:8080/ok/disk.raw.zst', 'http://(redacted)@10.99.0.1:8080/ok/disk.raw.zst?'],
      ['usr:S3@CRET/PW@10.99.0.1:8080/ok/disk', 'http://(redacted)@10.99.0.1:8080/ok/disk?'],
      ['//usr:S3CRETPW@files.example.com/disk', 'http://(redacted)@files.example.com/disk?'],
      ['http:/usr:S3CRETPW@files.example.com/disk', 'http://(redacted)@files.example.com/disk?'],
      ['http//usr:S3CRETPW@files.example.com/disk', 'http://(redacted)@files.example.com/disk?'],
      ['files.example.com/disk.raw?X-Amz-Signature=S3CRET', 'http://files.example.com/disk.raw?(redacted)?'],
      ['usr:12/S3CRET@host/disk', 'http://(redacted)@host/disk?'],
      ['10.99.0.1:8080/ok/disk.raw.zst', 'http://10.99.0.1:8080/ok/disk.raw.zst?'],
      ['files.example.com/disk.qcow2', 'http://files.example.com/disk.qcow2?'],
    ] as const;
    for (const [given, meant] of cases) {
      for (const source of [imageSource(given, false, nothing), imageSource('-', false, async () => given)]) {
        await assert.rejects(source, ({ code, message }: TinsmithError) => {
          assert.equal(code, 'usage');
          assert.ok(message.includes(`did you mean ${meant}`), message);
          assert.doesNotMatch(message, /S3|CRET|PW/);
          return true;
        });
      }
    }
  });

  it('may be a reference of a registry without its scheme, or a file however its name looks', async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-source-'));
    await mkdir(join(folder.path, 'usr:pw@host.example'));
    const file = join(folder.path, 'usr:pw@host.example', 'disk.raw');
    await writeFile(file, '');

    for (const given of ['10.99.0.1:5000/os/node:1', 'localhost:5000/os/node', 'h.example/os@sha256:00ff']) {
      assert.equal(await imageSource(given, false, nothing), `oci://${given}`);
    }
    assert.equal(await imageSource(relative(process.cwd(), file), false, nothing), file);
    assert.equal(await imageSource('images/disk.raw', false, nothing), resolve('images/disk.raw'));
    assert.equal(await imageSource('/srv/a:b@c.example/disk.raw', false, nothing), '/srv/a:b@c.example/disk.raw');
  });

  it('does not share standard input with a password', async () => {
    await assert.rejects(
      imageSource('-', true, async () => 'https://h/d.raw'),
      { code: 'usage', message: /--password-stdin/ },
    );
  });
});
