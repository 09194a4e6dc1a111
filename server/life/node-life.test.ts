import { describe, it } from 'node:test';
import { assertLife } from '#test/support/life-table.ts';
import { nodeLife } from './node-life.ts';

describe('node life', () => {
  it('has exactly these steps', () => {
    assertLife(nodeLife, [
      'claimed provision provisioning',
      'claimed release releasing',
      'provisioning install installed',
      'provisioning fail failed',
      'provisioning release releasing',
      'installed ready ready',
      'installed provision provisioning',
      'installed fail failed',
      'installed release releasing',
      'ready provision provisioning',
      'ready release releasing',
      'failed provision provisioning',
      'failed release releasing',
      'releasing release releasing',
    ]);
  });
});
