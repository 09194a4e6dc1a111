import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from './config.ts';

describe('readConfig', () => {
  it('refuses a port that does not exist, and says where it came from', () => {
    assert.throws(() => readConfig({ 'http-port': '65536' }, {}), {
      code: 'invalid_input',
      message: '--http-port is 65536: use a port from 0 to 65535',
    });
    assert.throws(() => readConfig({}, { TINSMITH_DHCP_PORT: '99999' }), { message: /^TINSMITH_DHCP_PORT / });
    assert.equal(readConfig({ 'http-port': '65535' }, {})['http.port'], 65_535);
  });
});
