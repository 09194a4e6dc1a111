import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { REDACTED, shownUrl, withoutUrlSecrets } from './url-secrets.ts';

describe('what is shown of a URL', () => {
  it('is neither user nor query nor fragment', () => {
    const url = new URL('https://user:hunter2@10.0.0.1:8443/a/b.raw?X-Amz-Signature=hunter2#token=hunter2');

    assert.equal(shownUrl(url), 'https://10.0.0.1:8443/a/b.raw');
    assert.equal(withoutUrlSecrets(url.href), `https://${REDACTED}@10.0.0.1:8443/a/b.raw?${REDACTED}`);
  });

  it('is the rest of a text as it is, wherever a URL stands in it', () => {
    const cases = [
      ['curl -o x "https://h/a?sig=hunter2" && echo ok?', `curl -o x "https://h/a?${REDACTED}" && echo ok?`],
      [`wget 'https://h/a?sig=hunter2' -O b`, `wget 'https://h/a?${REDACTED}' -O b`],
      [`IMG=https://h/a?sig='hunter2' next`, `IMG=https://h/a?${REDACTED} next`],
      ['one http://h/a?token=hunter2\ntwo ftp://hunter2@h/b', `one http://h/a?${REDACTED}\ntwo ftp://${REDACTED}@h/b`],
      ['http://u:hunt@er2@h:3128', `http://${REDACTED}@h:3128`],
      ['https://h/login?next=https://u:hunter2@h2/b?sig=hunter2 end', `https://h/login?${REDACTED} end`],
      ['cannot fetch http://h/a?sig=hunter2: 403', `cannot fetch http://h/a?${REDACTED}: 403`],
      ['https://h/a#access_token=hunter2', `https://h/a#${REDACTED}`],
      ['https://h?sig=hunter2', `https://h?${REDACTED}`],
      ['http://10.0.0.1/images/a.raw.zst', 'http://10.0.0.1/images/a.raw.zst'],
      ['library:debian-12 me@example.org a?b#c', 'library:debian-12 me@example.org a?b#c'],
      ['is http://h/a right?', 'is http://h/a right?'],
    ] as const;
    for (const [text, expected] of cases) assert.equal(withoutUrlSecrets(text), expected);
  });

  it('is nothing of a password that goes on behind what reads as the host', () => {
    const cases = [
      ['http://usr:S3CRET@PW/x@10.99.0.1:8080/ok/d.raw', `http://${REDACTED}@10.99.0.1:8080/ok/d.raw`],
      ['http://usr:S3/CRET@10.99.0.1:8080/ok/d.raw', `http://${REDACTED}@10.99.0.1:8080/ok/d.raw`],
      ['http://usr:12/CRET@h.example.org/d.raw', `http://${REDACTED}@h.example.org/d.raw`],
      ['http://usr:S3?CRET@10.99.0.1/d.raw', `http://${REDACTED}@?${REDACTED}`],
      ['https://host/@scope/pkg', 'https://host/@scope/pkg'],
      ['https://u:S3CRET@host/@scope/pkg', `https://${REDACTED}@host/@scope/pkg`],
      ['https://u:S3CRET@cdn/pkg@1.2.3/d.raw', `https://${REDACTED}@cdn/pkg@1.2.3/d.raw`],
      ['http://$HOST:$PORT/d.raw', 'http://$HOST:$PORT/d.raw'],
      ['oci://registry:5000/os/node:1@sha256:00ff', 'oci://registry:5000/os/node:1@sha256:00ff'],
    ] as const;
    for (const [text, expected] of cases) assert.equal(withoutUrlSecrets(text), expected);
    assert.equal(shownUrl(new URL('http://usr:S3CRET@PW/x@10.99.0.1:8080/ok')), 'http://10.99.0.1:8080/ok');
  });

  it('is no user and password where the scheme is missing', () => {
    const cases = [
      ['usr:S3CRET@10.99.0.1:8080/ok/d.raw', `${REDACTED}@10.99.0.1:8080/ok/d.raw`],
      ['usr:S3@CR/ET@10.99.0.1:8080/ok/d.raw', `${REDACTED}@10.99.0.1:8080/ok/d.raw`],
      ['cannot read /root/usr:S3CRET@h/d.raw: no', `cannot read /root/${REDACTED}@h/d.raw: no`],
      [`IMG_URL="usr:S3CRET@h/d.raw"`, `IMG_URL="${REDACTED}@h/d.raw"`],
      ['http:/usr:S3CRET@h/d.raw', `${REDACTED}@h/d.raw`],
      ['registry:5000/os/node@sha256:00ff', 'registry:5000/os/node@sha256:00ff'],
      ['registry/os/node:1@sha256:00ff', 'registry/os/node:1@sha256:00ff'],
      ['git@github.com:org/repo', 'git@github.com:org/repo'],
      ['mail to:me@example.org', 'mail to:me@example.org'],
    ] as const;
    for (const [text, expected] of cases) assert.equal(withoutUrlSecrets(text), expected);
  });

  it('is the same when it is asked again', () => {
    const once = withoutUrlSecrets('https://u:p@h/a?sig=x');

    assert.equal(withoutUrlSecrets(once), once);
  });

  it('is found in time that grows with the text only', () => {
    for (const part of [
      'a.',
      'a://',
      'a://@',
      `'`,
      'a:',
      '://?',
      'http://h/?:::',
      'http://h/?',
      'a:b',
      'a:@',
      'a/',
      'a@h:1',
      'u:p@h',
      'http://u@h/@a.',
      '=a:/',
    ]) {
      const before = process.cpuUsage();
      withoutUrlSecrets(part.repeat(100_000));
      // Of the processor: a busy computer gives it later, not less of it.
      assert.ok(process.cpuUsage(before).user < 2_000_000, JSON.stringify(part));
    }
  });
});
