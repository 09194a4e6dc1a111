import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { readBootSettings } from './boot-settings.ts';
import { AGENT_VERSION } from './version.ts';

const ca = 'ab'.repeat(32);
const good =
  `console=ttyS0 tinsmith.server=10.0.0.1:42114 tinsmith.http=http://10.0.0.1:7171/ tinsmith.token=secret-token ` +
  `tinsmith.ca=${ca.toUpperCase()} tinsmith.mac=02-AB-00-00-00-01 tinsmith.giveup=90\n`;

describe('the boot settings', () => {
  it('are read from the kernel command line, in any notation of MAC and hash', () => {
    assert.deepEqual(readBootSettings(good, {}), {
      server: '10.0.0.1:42114',
      http: 'http://10.0.0.1:7171',
      token: 'secret-token',
      ca,
      mac: '02:ab:00:00:00:01',
      giveUpMs: 90_000,
      runDir: '/run/tinsmith',
    });
  });

  it('give in to the environment', () => {
    const settings = readBootSettings(good, { TINSMITH_SERVER: 'h:1', TINSMITH_GIVEUP: '5', TINSMITH_RUN_DIR: '/r' });

    assert.equal(settings.server, 'h:1');
    assert.equal(settings.giveUpMs, 5000);
    assert.equal(settings.runDir, '/r');
  });

  it('give up after ten minutes unless told otherwise', () => {
    assert.equal(readBootSettings(good.replace(/tinsmith.giveup=\d+/, ''), {}).giveUpMs, 600_000);
  });

  it('name everything that is missing at once', () => {
    assert.throws(() => readBootSettings('quiet', {}), /server.*http.*token.*ca.*mac/);
  });

  it('never show the token in an error', () => {
    assert.throws(
      () => readBootSettings(good.replace('10.0.0.1:42114', 'nowhere'), {}),
      (thrown: unknown) =>
        thrown instanceof Error && /tinsmith.server/.test(thrown.message) && !/secret/.test(thrown.message),
    );
  });

  for (const url of ['https://10.0.0.1', 'file:///etc', 'http://']) {
    it(`refuse ${url} as the server's HTTP address`, () => {
      assert.throws(() => readBootSettings(good, { TINSMITH_HTTP: url }), /tinsmith.http/);
    });
  }
});

describe('the agent’s version', () => {
  it('is the package’s', async () => {
    const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8'));

    assert.equal(AGENT_VERSION, version);
  });
});
