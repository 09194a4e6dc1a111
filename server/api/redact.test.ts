import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { catalog } from '#proto/actions/catalog.ts';
import { REDACTED } from '#proto/url-secrets.ts';
import { redactEnvironment, redactObject } from './redact.ts';

describe('redact', () => {
  it('replaces what its name says is secret, at any depth, and keeps the rest', () => {
    const spec = {
      disks: [{ device: '/dev/sda' }],
      metadata: {
        instance: { id: 'a', crypted_root_password: '$6$salt$hash', userdata: '#cloud-config', password_hash: '' },
        list: [{ apiToken: 'abc', port: 1 }, null, 'text'],
        hasPassword: true,
      },
      bmcRef: { secretRef: { name: 'x' } },
      vendorData: 'vendor',
    };

    assert.deepEqual(redactObject(spec), {
      disks: [{ device: '/dev/sda' }],
      metadata: {
        instance: { id: 'a', crypted_root_password: REDACTED, userdata: REDACTED, password_hash: '' },
        list: [{ apiToken: REDACTED, port: 1 }, null, 'text'],
        hasPassword: true,
      },
      bmcRef: { secretRef: REDACTED },
      vendorData: REDACTED,
    });
  });

  it('replaces every environment value that an action declares as secret, by whatever image it is named', () => {
    for (const [name, { secrets = [] }] of Object.entries(catalog)) {
      const environment = Object.fromEntries([
        ...secrets.map((secret) => [secret, 'hunter2']),
        ['DEST_DISK', '/dev/sda'],
      ]);
      for (const image of [name, `hub/${name}:v1`, `10.0.0.1:5000/actions/${name}@sha256:${'0'.repeat(64)}`]) {
        const shown = redactEnvironment(image, environment);
        assert.equal(JSON.stringify(shown).includes('hunter2'), false, image);
        assert.equal(shown['DEST_DISK'], '/dev/sda');
      }
    }
  });

  it('hides the password in a URL, and names that say secret even of an unknown image', () => {
    const shown = redactEnvironment('someone/elses:latest', {
      IMG_URL: 'https://user:hunter2@10.0.0.1:8080/a.raw?x=1&X-Amz-Signature=hunter2',
      HTTPS_PROXY: 'http://user:hunt@er2@10.0.0.9:3128',
      LINES: 'a http://10.0.0.1/b\nftp://hunter2@host/c',
      REGISTRY_PASSWORD: 'hunter2',
      EMPTY_TOKEN: '',
      MODE: '0644',
    });

    assert.deepEqual(shown, {
      IMG_URL: `https://${REDACTED}@10.0.0.1:8080/a.raw?${REDACTED}`,
      HTTPS_PROXY: `http://${REDACTED}@10.0.0.9:3128`,
      LINES: `a http://10.0.0.1/b\nftp://${REDACTED}@host/c`,
      REGISTRY_PASSWORD: REDACTED,
      EMPTY_TOKEN: '',
      MODE: '0644',
    });
  });
});
