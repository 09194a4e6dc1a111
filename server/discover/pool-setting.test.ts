import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readConfig } from '../config.ts';
import { poolSetting } from './pool-setting.ts';

const facing = { address: '10.0.0.1', netmask: '255.255.255.0' };
const setting = (pool: string) => poolSetting(readConfig({ 'dhcp-pool': pool }, {}), facing);

describe('poolSetting', () => {
  it('makes no pool where none is named: unknown machines get no answer', () => {
    assert.equal(setting(''), undefined);
  });

  it('takes the netmask of the interface', () => {
    assert.deepEqual(setting('10.0.0.50 - 10.0.0.99'), {
      first: '10.0.0.50',
      last: '10.0.0.99',
      netmask: '255.255.255.0',
      nameServers: [],
    });
  });

  for (const [pool, fault] of [
    ['10.0.0.50', /no range/],
    ['10.0.0.50-', /no range/],
    ['10.0.0.50-10.0.0.60-10.0.0.70', /no range/],
    ['10.0.0.99-10.0.0.50', /backwards/],
    ['10.0.0.50-10.0.1.50', /10\.0\.1\.50 is outside the network/],
  ] as const) {
    it(`refuses ${pool}`, () => {
      assert.throws(() => setting(pool), fault);
    });
  }
});
