import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HardwareFacts, InterfaceFacts } from '../actions/facts.ts';
import { netplanText, networkConfigText } from './netplan-text.ts';
import { type NetworkLink, networkLinks } from './network-links.ts';
import type { NetworkSpec } from './network-spec.ts';

function card(number: number, more: Partial<InterfaceFacts> = {}): InterfaceFacts {
  return {
    mac: `52:54:00:00:00:0${number}`,
    address: `10.${number}.0.5`,
    netmask: '255.255.255.0',
    gateway: `10.${number}.0.1`,
    nameServers: [],
    ...more,
  };
}

function facts(interfaces: readonly InterfaceFacts[], network?: NetworkSpec): HardwareFacts {
  return { hardware: 'node-1', interfaces, ...(network && { network }) };
}

function outline(links: readonly NetworkLink[]): readonly string[] {
  return links.map(({ kind, name, addresses }) => [kind, name, ...addresses].join(' '));
}

describe('the links of a machine', () => {
  it('are its cards that have an address, the first with the way out', () => {
    const links = networkLinks(facts([card(1), { mac: '52:54:00:00:00:07', nameServers: [] }, card(2)]));

    assert.deepEqual(outline(links), ['ethernet id0 10.1.0.5/24', 'ethernet id1 10.2.0.5/24']);
    assert.deepEqual(
      links.map(({ routes }) => routes),
      [[{ to: 'default', via: '10.1.0.1' }], [{ to: 'default', via: '10.2.0.1', metric: 200 }]],
    );
  });

  it('are the one that is asked for by MAC or VLAN; other names change nothing', () => {
    const two = facts([card(1), card(2, { vlanId: '120' })]);

    assert.deepEqual(outline(networkLinks(two, '52:54:00:00:00:01')), ['ethernet id0 10.1.0.5/24']);
    assert.deepEqual(outline(networkLinks(two, 'eth0.120')), ['ethernet mainif', 'vlan vlan120 10.2.0.5/24']);
    assert.equal(networkLinks(two, 'eno1').length, 3);
  });

  it('are a bond with the address of its first card that has one, and VLANs above it', () => {
    const network: NetworkSpec = {
      ethernets: { first: { macaddress: '52:54:00:00:00:01' } },
      bonds: { bond0: { interfaces: ['52:54:00:00:00:08', 'first'], parameters: { mode: '802.3ad' } } },
      vlans: { storage: { id: 7, link: 'bond0', addresses: ['10.7.0.5/24'] }, lab: { id: 8, link: 'bond0' } },
    };

    const links = networkLinks(facts([card(1), card(1, { address: '10.8.0.5', vlanId: '8' }), card(3)], network));

    assert.deepEqual(outline(links), [
      'ethernet first',
      'ethernet nic525400000008',
      'ethernet id0 10.3.0.5/24',
      'bond bond0 10.1.0.5/24',
      'vlan storage 10.7.0.5/24',
      'vlan lab 10.8.0.5/24',
    ]);
    const bond = links.find((link) => link.kind === 'bond');
    assert.deepEqual(bond?.parameters, { mode: '802.3ad', 'mii-monitor-interval': 100 });
    assert.deepEqual(bond?.members, ['nic525400000008', 'first']);
    assert.deepEqual(
      bond?.routes,
      [{ to: 'default', via: '10.1.0.1' }],
      'the first interface of the record comes first',
    );
  });

  it('take written addresses and ways out before those of the record', () => {
    const network: NetworkSpec = {
      ethernets: {
        a: { macaddress: '52:54:00:00:00:01', addresses: ['10.99.0.5/16'] },
        b: { macaddress: '52:54:00:00:00:02', routes: [{ to: 'default', via: '10.2.0.254' }], mtu: 9000 },
        c: { macaddress: '52:54:00:00:00:03', dhcp4: true },
      },
    };

    const links = networkLinks(facts([card(1), card(2), card(3)], network));

    assert.deepEqual(outline(links), ['ethernet a 10.99.0.5/16', 'ethernet b 10.2.0.5/24', 'ethernet c']);
    assert.deepEqual(links[1]?.routes, [{ to: 'default', via: '10.2.0.254' }]);
    assert.deepEqual([links[1]?.mtu, links[2]?.dhcp4], [9000, true]);
  });

  it('keep the VLAN of the record above a card that is described for another reason', () => {
    const network: NetworkSpec = { ethernets: { a: { macaddress: '52:54:00:00:00:01', mtu: 9000 } } };

    const links = networkLinks(facts([card(1, { vlanId: '120' })], network));

    assert.deepEqual(outline(links), ['ethernet a', 'vlan vlan120 10.1.0.5/24']);
  });

  it('are refused without any address', () => {
    assert.throws(() => networkLinks(facts([{ mac: '52:54:00:00:00:01', nameServers: [] }])), {
      code: 'invalid_params',
      message: /node-1: no interface of its record has an address/,
    });
  });
});

describe('netplan', () => {
  const network: NetworkSpec = {
    bonds: { bond0: { interfaces: ['52:54:00:00:00:01'], parameters: { 'lacp-rate': 'fast', mode: '802.3ad' } } },
    vlans: { vlan7: { id: 7, link: 'bond0', addresses: ['fd00::5/64'], nameservers: { search: ['example.org'] } } },
  };

  it('is one file with everything that stands on something behind that', () => {
    const text = netplanText(networkLinks(facts([card(1, { nameServers: ['10.1.0.2', 'fd00::2'] })], network)));

    assert.equal(
      text,
      `network:
    version: 2
    renderer: networkd
    ethernets:
        nic525400000001:
            match:
                macaddress: "52:54:00:00:00:01"
    bonds:
        bond0:
            interfaces: [nic525400000001]
            parameters:
                mode: 802.3ad
                mii-monitor-interval: 100
                lacp-rate: fast
            addresses:
                - 10.1.0.5/24
            nameservers:
                addresses: [10.1.0.2, "fd00::2"]
            routes:
                - to: default
                  via: 10.1.0.1
    vlans:
        vlan7:
            id: 7
            link: bond0
            addresses:
                - "fd00::5/64"
            nameservers:
                search: [example.org]
`,
    );
  });

  it('is the same for cloud-init, which chooses the renderer itself', () => {
    const text = networkConfigText(networkLinks(facts([card(1)])));

    assert.equal(
      text.split('\n').slice(0, 5).join('\n'),
      'version: 2\nethernets:\n    id0:\n        match:\n            macaddress: "52:54:00:00:00:01"',
    );
    assert.doesNotMatch(text, /renderer|network:/);
  });
});
