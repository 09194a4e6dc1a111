import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type OciRegistry, ociRegistry, REGISTRY_USER } from '#test/support/oci-registry.ts';
import { RegistryClient } from './registry-client.ts';

function manifest(registry: OciRegistry, lines: string[] = []): Promise<unknown> {
  const client = new RegistryClient({
    image: { origin: `http://${registry.host}`, repository: 'os/image', version: { tag: 'raw' } },
    credentials: REGISTRY_USER,
    skipVerify: false,
    proxy: {},
    signal: new AbortController().signal,
    log: (text) => lines.push(text),
  });
  return client.manifest('raw');
}

describe('RegistryClient', () => {
  it('refuses to fetch a token from anything but http and https', async () => {
    for (const realm of ['file:///etc/passwd', 'ftp://x/y', '/token']) {
      await using registry = await ociRegistry({ auth: 'bearer', realm });

      await assert.rejects(manifest(registry), {
        code: 'download_failed',
        message: `cannot log in to the registry ${registry.host}: it says that tokens are at ${JSON.stringify(realm)}, which is no http or https URL`,
      });
      assert.equal(registry.requests.length, 1);
    }
  });

  it('reads a manifest or token that is too long once, and says the limit', async () => {
    const long = 'x'.repeat(5 << 20);
    const lines: string[] = [];
    await using open = await ociRegistry();
    open.putManifest('raw', { long });
    await using guarded = await ociRegistry({ auth: 'bearer', tokenAnswer: () => long });

    await assert.rejects(manifest(open, lines), {
      code: 'download_failed',
      message: `cannot fetch http://${open.host}/v2/os/image/manifests/raw: it is longer than 4 MiB, which no manifest or token is`,
    });
    await assert.rejects(manifest(guarded, lines), { message: /\/token: it is longer than 4 MiB, which/ });
    assert.equal(open.requests.length, 1);
    assert.equal(guarded.requests.length, 2);
    assert.deepEqual(lines, []);
  });
});
