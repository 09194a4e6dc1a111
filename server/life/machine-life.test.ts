import { describe, it } from 'node:test';
import { assertLife } from '#test/support/life-table.ts';
import { machineLife } from './machine-life.ts';

describe('machine life', () => {
  it('has exactly these steps', () => {
    assertLife(machineLife, [
      'discovered boot booting',
      'discovered enroll enrolled',
      'discovered startRun provisioning',
      'discovered retire retired',
      'booting boot booting',
      'booting enroll enrolled',
      'booting startRun provisioning',
      'booting runSucceeded installed',
      'booting wiped discovered',
      'booting runFailed failed',
      'booting retire retired',
      'enrolled boot booting',
      'enrolled enroll enrolled',
      'enrolled startRun provisioning',
      'enrolled runSucceeded installed',
      'enrolled wiped discovered',
      'enrolled runFailed failed',
      'enrolled retire retired',
      'provisioning boot booting',
      'provisioning enroll enrolled',
      'provisioning startRun provisioning',
      'provisioning runSucceeded installed',
      'provisioning wiped discovered',
      'provisioning runFailed failed',
      'provisioning retire retired',
      'installed boot booting',
      'installed enroll enrolled',
      'installed startRun provisioning',
      'installed retire retired',
      'failed boot booting',
      'failed enroll enrolled',
      'failed startRun provisioning',
      'failed retire retired',
      'retired restore discovered',
    ]);
  });
});
