import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { catalog } from './actions/catalog.ts';
import type { TinsmithError } from './errors.ts';
import { faultOfHttpUrl, parseHttpUrl } from './http-url.ts';

describe('a URL', () => {
  it('is one of http or https, and nothing else', () => {
    assert.equal(parseHttpUrl('https://u:p%40w@h:8443/a?b#c')?.href, 'https://u:p%40w@h:8443/a?b#c');
    for (const text of ['', '/srv/d.raw', 'oci://h/a:1', 'library:debian', 'h:8080/a', 'http://']) {
      assert.equal(parseHttpUrl(text), undefined, text);
    }
  });

  it('with a bare % in its user or password is refused, with the fix and without the secret', () => {
    for (const user of ['usr:S3CRET%PW', 'us%r:S3CRET', 'usr:S3CRET%', 'usr:S3CRET%E9t']) {
      assert.throws(
        () => parseHttpUrl(`http://${user}@10.99.0.1:8080/disk.raw`),
        ({ code, message }: TinsmithError) => {
          assert.equal(code, 'invalid_input');
          assert.match(message, /http:\/\/\(redacted\)@10\.99\.0\.1:8080\/disk\.raw has a % .* as %25$/);
          assert.doesNotMatch(message, /S3|CRET|us%/);
          return true;
        },
      );
    }
    assert.equal(faultOfHttpUrl('http://usr:S3%25PW%C3%A9@h/100%'), undefined);
  });

  it('whose host seems to be the tail of a password is refused, with the fix and without the secret', () => {
    for (const url of [
      'http://usr:S3CRET@PW/x@10.99.0.1:8080/ok/disk.raw',
      'http://usr:S3CRET@PW/x@files.example.com/disk.raw',
      'http://S3CRET@PW/x@[fd00::1]/disk.raw',
      'http://usr:12/S3CRET@localhost/disk.raw',
      'http://usr:S3CRET/PW@10.99.0.1:8080/disk.raw',
      'http://usr:S3CRET?PW@10.99.0.1:8080/disk.raw',
      'http://usr:S3CRET#PW@10.99.0.1:8080/disk.raw',
    ]) {
      assert.throws(
        () => parseHttpUrl(url),
        ({ code, message }: TinsmithError) => {
          assert.equal(code, 'invalid_input', url);
          assert.match(message, /%40.*%2F/, url);
          assert.doesNotMatch(message, /S3|CRET|PW/i, url);
          return true;
        },
      );
    }
  });

  it('is refused so in every variable of an action that takes one', () => {
    const url = 'http://usr:S3CRET%PW@10.99.0.1/disk.raw';
    const disk = { DEST_DISK: '/dev/sda' };
    const image = { IMG_URL: 'http://10.99.0.1/disk.raw', ...disk };
    for (const parse of [
      () => catalog.image2disk.parse({ ...disk, IMG_URL: url }, []),
      () => catalog.image2disk.parse({ ...image, HTTPS_PROXY: 'usr:S3CRET%PW@10.99.0.1:3128' }, []),
      () => catalog.qemuimg2disk.parse({ ...disk, IMG_URL: url }, []),
      () =>
        catalog.archive2disk.parse(
          {
            ARCHIVE_URL: url,
            DEST_DISK: '/dev/sda1',
            FS_TYPE: 'ext4',
            DEST_PATH: '/',
            TARFILE_CHECKSUM: `sha256:${'0'.repeat(64)}`,
          },
          [],
        ),
    ]) {
      assert.throws(parse, ({ code, message }: TinsmithError) => {
        assert.equal(code, 'invalid_params');
        assert.match(message, /(IMG_URL|HTTPS_PROXY|ARCHIVE_URL) .*%25/);
        assert.doesNotMatch(message, /S3|CRET|PW/);
        return true;
      });
    }
  });

  it('may have an @ in its path that ends no password', () => {
    for (const url of [
      'https://host/@scope/pkg',
      'https://host:8443/@scope/pkg',
      'https://u:p@host/@scope/pkg/-/a.tgz',
      'https://token@cdn.example/npm/pkg@1.2.3/disk.raw',
      'https://u:p@host/mail/me@example.org',
      'https://files.example.com:8080/mirror@cloud.example.com/disk.raw',
      'https://registry.example/v2/os/node@sha256:00ff',
      'https://host/backup@10.0.0.1/disk.raw',
      'https://u:p@host/a%40files.example.com/disk.raw',
    ]) {
      assert.equal(faultOfHttpUrl(url), undefined, url);
    }
  });
});
