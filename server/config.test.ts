import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from './config.ts';

function proxy(text: string): string {
  return readConfig({ 'library-proxy': text }, {})['library.proxy'];
}

describe('readConfig', () => {
  it('refuses a port that does not exist, and says where it came from', () => {
    assert.throws(() => readConfig({ 'http-port': '65536' }, {}), {
      code: 'invalid_input',
      message: '--http-port is 65536: use a port from 0 to 65535',
    });
    assert.throws(() => readConfig({}, { TINSMITH_DHCP_PORT: '99999' }), { message: /^TINSMITH_DHCP_PORT / });
    assert.equal(readConfig({ 'http-port': '65535' }, {})['http.port'], 65_535);
  });

  it('takes a proxy that is spoken to in HTTP alone, and repeats nothing of another', () => {
    assert.equal(proxy(''), '');
    assert.equal(proxy('http://me:pass@proxy:3128'), 'http://me:pass@proxy:3128/');
    assert.equal(proxy('proxy:3128'), 'http://proxy:3128/');
    assert.throws(() => proxy('socks5://me:pass@proxy:1080'), {
      code: 'invalid_input',
      message: '--library-proxy is a socks5 URL: use http://host:port (the proxy itself is spoken to in plain HTTP)',
    });
    assert.throws(() => readConfig({}, { TINSMITH_LIBRARY_PROXY: 'http://me:pa%ss@proxy' }), {
      code: 'invalid_input',
      message: /^TINSMITH_LIBRARY_PROXY has a % in its user or password/,
    });
  });
});
