import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadManifests } from './load-manifests.ts';

function read(network: string) {
  const indented = network.replaceAll(/^/gm, '    ');
  const text = `apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata: { name: node-1 }
spec:
  interfaces:
    - dhcp: { mac: "52:54:00:00:00:01" }
  network:
${indented}
`;
  return loadManifests([{ name: 'hw.yaml', text }]);
}

function problems(network: string): readonly string[] {
  return read(network).problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

describe('spec.network of a Hardware', () => {
  it('is read with MACs in any notation', () => {
    const loaded = read(`ethernets:
  a: { macaddress: 52-54-00-00-00-0A, name: eno1, mtu: 9000, routes: [{ to: default, via: 10.0.0.1, metric: 5 }] }
bonds:
  bond0: { interfaces: [a, 5254.0000.000B], parameters: { mode: 802.3ad, lacp-rate: fast } }
vlans:
  vlan7: { id: 7, link: bond0, addresses: [10.0.0.5/24, "fd00::5/64"] }
  vlan8: { id: 8, link: 52-54-00-00-00-0C, dhcp4: true }`);

    assert.deepEqual(loaded.problems, []);
    const { network } = loaded.hardware[0]?.value.spec ?? {};
    assert.equal(network?.ethernets?.['a']?.macaddress, '52:54:00:00:00:0a');
    assert.deepEqual(network?.bonds?.['bond0']?.interfaces, ['a', '52:54:00:00:00:0b']);
    assert.equal(network?.vlans?.['vlan8']?.link, '52:54:00:00:00:0c');
  });

  it('tells every reference that leads nowhere, at its place', () => {
    assert.deepEqual(
      problems(`ethernets:
  first: { macaddress: "52:54:00:00:00:0a" }
bonds:
  bond0: { interfaces: [frist, first] }
  bond1: { interfaces: ["52:54:00:00:00:0a"] }
vlans:
  vlan7: { id: 7, link: bond }`),
      [
        '11:29 spec.network.bonds.bond0.interfaces[0] frist is none of the ethernets (did you mean first?)',
        '12:29 spec.network.bonds.bond1.interfaces[0] 52:54:00:00:00:0a is part of bond0 already: a card is in one bond',
        '14:29 spec.network.vlans.vlan7.link bond is none of its links (did you mean bond0?)',
      ],
    );
  });

  it('refuses what no system could be given', () => {
    const cases = [
      ['ethernets: { a: { macaddress: x } }', /not a MAC address/],
      ['ethernets: { a: {} }', /macaddress is missing/],
      ['ethernets: { a: { macaddress: "52:54:00:00:00:0a", addresses: [10.0.0.5] } }', /10\.0\.0\.5\/24/],
      ['ethernets: { a: { macaddress: "52:54:00:00:00:0a", addresses: [10.0.0.5/33] } }', /prefix length/],
      ['ethernets: { a: { macaddress: "52:54:00:00:00:0a", routes: [{ to: all, via: 10.0.0.1 }] } }', /destination/],
      ['ethernets: { "a b": { macaddress: "52:54:00:00:00:0a" } }', /no name of an interface/],
      ['ethernets: { a: { macaddress: "52:54:00:00:00:0a" }, b: { macaddress: 525400-00000a } }', /MAC/],
      ['bonds: { b: { interfaces: [] } }', /name the cards/],
      ['bonds: { b: { interfaces: ["52:54:00:00:00:0a"], parameters: { mode: lacp } } }', /802\.3ad/],
      ['bonds: { b: { interfaces: ["52:54:00:00:00:0a"], parameters: { lacp_rate: fast } } }', /lacp-rate/],
      ['vlans: { v: { id: 4095, link: "52:54:00:00:00:0a" } }', /1 to 4094/],
      ['bridges: {}', /bridges is not a known field/],
      [
        'ethernets: { a: { macaddress: "52:54:00:00:00:0a", dhcp4: true } }\nbonds: { b: { interfaces: [a] } }',
        /addresses of its own: give them to b/,
      ],
      ['ethernets: { a: { macaddress: "52:54:00:00:00:0a" } }\nbonds: { a: { interfaces: [a] } }', /choose another/],
    ] as const;

    for (const [network, expected] of cases) assert.match(problems(network).join('\n'), expected, network);
  });
});
