import assert from 'node:assert/strict';
import { it } from 'node:test';
import { readConfig } from '../config.ts';
import { planHost } from './plan-host.ts';

function ports(metadataLegacy: number | undefined): readonly number[] {
  const facing = { address: '10.0.0.1', metadata: 7172, metadataLegacy };
  return planHost(readConfig({}, {}), facing).ports.map(({ port }) => port);
}

it('names the metadata port of older templates exactly where it is served', () => {
  assert.deepEqual(ports(50_061), [67, 69, 7171, 7172, 50_061, 42_114, 7180]);
  assert.deepEqual(ports(undefined), [67, 69, 7171, 7172, 42_114, 7180]);
});
