import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultOfMac, faultsOfAddressPlan, normaliseMac, prefixOfNetmask } from './network-address.ts';

test('any notation of a MAC becomes lower case with colons', () => {
  for (const written of ['08:00:27:AC:C9:77', '08-00-27-ac-c9-77', '0800.27AC.c977', '080027acC977']) {
    assert.equal(normaliseMac(written), '08:00:27:ac:c9:77', written);
  }
});

test('what only looks like a MAC is none', () => {
  const wrong = [
    '',
    '08:00:27:ac:c9',
    '08:00:27:ac:c9:77:01',
    '08:00:27-ac:c9:77',
    '08:00:27:ac:c9:7g',
    '8:0:27:ac:c9:77',
    '08:00:27:ac:c9:77 ',
    '02:00:5e:10:00:00:00:01',
    '0800.27ac',
    '０8:00:27:ac:c9:77',
  ];
  for (const written of wrong) {
    assert.equal(normaliseMac(written), undefined, written);
    assert.match(faultOfMac(written) ?? '', /is not a MAC address/);
  }
});

test('a MAC that no network card has is refused', () => {
  assert.match(faultOfMac('01:00:5e:00:00:01') ?? '', /multicast/);
  assert.match(faultOfMac('ff:ff:ff:ff:ff:ff') ?? '', /multicast/);
  assert.match(faultOfMac('00:00:00:00:00:00') ?? '', /empty MAC/);
  assert.equal(faultOfMac('08:00:27:99:5B:B7'), undefined);
});

test('a netmask is ones and then zeros', () => {
  assert.equal(prefixOfNetmask('255.255.255.0'), 24);
  assert.equal(prefixOfNetmask('255.255.255.255'), 32);
  assert.equal(prefixOfNetmask('128.0.0.0'), 1);
  assert.equal(prefixOfNetmask('0.0.0.0'), 0);
  for (const wrong of ['255.0.255.0', '0.255.255.255', '255.255.255.1', '24', 'ffffff00', '::']) {
    assert.equal(prefixOfNetmask(wrong), undefined, wrong);
  }
});

const PLAN = { address: '192.168.10.31', netmask: '255.255.255.0', gateway: '192.168.10.1' };

test('an address plan that fits together has no fault', () => {
  assert.deepEqual(faultsOfAddressPlan(PLAN), []);
  assert.deepEqual(faultsOfAddressPlan({ address: '10.0.0.0', netmask: '255.255.255.254', gateway: '10.0.0.1' }), []);
  assert.deepEqual(faultsOfAddressPlan({ address: '10.9.9.9', netmask: '255.255.255.255' }), []);
});

const FAULTY_PLANS: readonly [change: Partial<typeof PLAN>, expected: readonly string[]][] = [
  [{ address: '192.168.10.256' }, ['address is not an IP address']],
  [{ address: '192.168.010.31' }, ['address is not an IP address']],
  [{ address: 'fe80::1' }, ['address is an IPv6 address']],
  [{ address: '192.168.10.0' }, ['address is the network address']],
  [{ address: '192.168.10.255' }, ['address is the broadcast address']],
  [{ address: '192.168.11.31' }, ['address is outside the gateway’s subnet']],
  [{ address: '192.168.10.1' }, ['address is the gateway’s address as well']],
  [{ gateway: '192.168.10.255' }, ['gateway is the broadcast address']],
  [{ netmask: '24' }, ['netmask is a prefix length: write the mask 255.255.255.0']],
  [{ netmask: '/20' }, ['netmask is a prefix length: write the mask 255.255.240.0']],
  [{ netmask: '255.0.255.0' }, ['netmask has holes']],
  [{ netmask: '0.0.0.0' }, ['netmask covers every address']],
  [{ netmask: 'big' }, ['netmask is not a netmask']],
  [{ address: 'a', netmask: 'b', gateway: 'c' }, ['address is not', 'netmask is not', 'gateway is not']],
];

for (const [change, expected] of FAULTY_PLANS) {
  test(`the plan ${JSON.stringify(change)} is refused for its fault and nothing else`, () => {
    const faults = faultsOfAddressPlan({ ...PLAN, ...change }).map(({ part, fault }) => `${part} ${fault}`);

    assert.equal(faults.length, expected.length, faults.join('\n'));
    for (const [index, start] of expected.entries()) assert.ok(faults[index]?.startsWith(start), faults[index]);
  });
}
