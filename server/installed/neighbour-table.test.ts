import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { neighbourMac, readNeighbourTable } from './neighbour-table.ts';

// As Linux 6.1 prints it.
const TABLE = `IP address       HW type     Flags       HW address            Mask     Device
10.0.0.5         0x1         0x2         52:54:00:AA:00:05     *        eth0
10.0.0.5         0x1         0x2         52:54:00:aa:00:99     *        eth1
10.0.0.6         0x1         0x0         00:00:00:00:00:00     *        eth0
10.0.0.7         0x1         0x6         52:54:00:aa:00:07     *        eth0
`;

describe('the neighbour table', () => {
  it('gives the MAC of a neighbour on its device', () => {
    assert.equal(neighbourMac(TABLE, '10.0.0.5', 'eth0'), '52:54:00:aa:00:05');
    assert.equal(neighbourMac(TABLE, '10.0.0.5', 'eth1'), '52:54:00:aa:00:99');
    assert.equal(neighbourMac(TABLE, '10.0.0.7', 'eth0'), '52:54:00:aa:00:07');
  });

  it('gives none for a neighbour that never answered, is elsewhere or is not in it', () => {
    assert.equal(neighbourMac(TABLE, '10.0.0.6', 'eth0'), undefined);
    assert.equal(neighbourMac(TABLE, '10.0.0.7', 'eth1'), undefined);
    assert.equal(neighbourMac(TABLE, '10.0.0.8', 'eth0'), undefined);
    assert.equal(neighbourMac('', '10.0.0.8', 'eth0'), undefined);
  });

  it('can be read on this system', async () => {
    assert.match(await readNeighbourTable(), /^IP address/);
  });
});
