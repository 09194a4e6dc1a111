import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import { facingInterface } from './facing-interface.ts';

function ipv4(address: string, internal = false): NetworkInterfaceInfo {
  return {
    address,
    netmask: '255.255.255.0',
    family: 'IPv4',
    mac: '02:00:00:00:00:01',
    internal,
    cidr: `${address}/24`,
  };
}

const host = { lo: [ipv4('127.0.0.1', true)], eth0: [ipv4('192.0.2.5')], eth1: [ipv4('10.0.0.1'), ipv4('10.0.1.1')] };

describe('facingInterface', () => {
  it('takes the only interface there is beside loopback', () => {
    const found = facingInterface({ interface: '', address: '' }, { lo: host.lo, eth0: host.eth0 });

    assert.deepEqual(found, { name: 'eth0', address: '192.0.2.5', netmask: '255.255.255.0' });
  });

  it('finds the interface that owns an address, loopback as well', () => {
    assert.equal(facingInterface({ interface: '', address: '10.0.1.1' }, host).name, 'eth1');
    assert.equal(facingInterface({ interface: '', address: '127.0.0.1' }, host).name, 'lo');
  });

  for (const [why, wanted] of [
    ['several interfaces could be meant', { interface: '', address: '' }],
    ['the interface has two addresses', { interface: 'eth1', address: '' }],
    ['the interface does not exist', { interface: 'eth7', address: '' }],
    ['the address is on another interface', { interface: 'eth0', address: '10.0.0.1' }],
  ] as const) {
    it(`refuses to guess when ${why}, and lists what there is`, () => {
      assert.throws(
        () => facingInterface(wanted, host),
        (error) =>
          error instanceof TinsmithError && error.code === 'invalid_input' && error.message.includes('eth0 192.0.2.5'),
      );
    });
  }

  it('asks for the address where the interface was named already', () => {
    assert.throws(() => facingInterface({ interface: 'eth1', address: '' }, host), {
      message: /^cannot tell which address of eth1 faces the machines: name it with --address; there are /,
    });
  });
});
