import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDnsAddress } from './cluster-dns-address.ts';

describe('the address of the cluster’s DNS', () => {
  it('is the tenth of the services’ network, wherever in it the file’s address lies', () => {
    const addresses = {
      '10.96.0.0/12': '10.96.0.10',
      '10.97.1.7/12': '10.96.0.10',
      '172.20.0.128/25': '172.20.0.138',
      'fd00:10:96::/112': 'fd00:10:96::a',
      '2001:db8:0:0:1::ff00/120': '2001:db8::1:0:0:ff0a',
    };

    for (const [cidr, address] of Object.entries(addresses)) assert.equal(clusterDnsAddress(cidr), address);
  });
});
