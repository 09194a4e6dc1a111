import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HardwareSpec } from '../manifests/hardware-kind.ts';
import { instanceMetadata, metadataAt } from './instance-metadata.ts';

const SPEC: HardwareSpec = {
  disks: [],
  interfaces: [
    { dhcp: { mac: '52:54:00:77:00:01', hostname: 'first', ip: { address: '10.0.0.5', netmask: '255.255.255.0' } } },
    { dhcp: { mac: '52:54:00:77:00:02', hostname: 'second', ip: { address: '10.1.0.5', netmask: '255.255.255.0' } } },
  ],
};
const EKSA: HardwareSpec = {
  ...SPEC,
  metadata: {
    facility: { facility_code: 'onprem', plan_slug: 'c2.medium.x86' },
    instance: {
      id: '52:54:00:77:00:01',
      hostname: 'eksa-cp01',
      ips: [{ address: '10.0.0.5', netmask: '255.255.255.0', family: 4, public: true }],
      tags: ['a', 'b'],
      ssh_keys: ['ssh-ed25519 AAAA x', 7, 'ssh-rsa BBBB y'],
      operating_system: { slug: 'ubuntu', version: '22.04' },
    },
  },
};

function valueAt(spec: HardwareSpec, path: string, address = '10.0.0.5'): string | undefined {
  return metadataAt(instanceMetadata({ name: 'machine', spec }, address), path);
}

describe('instance metadata', () => {
  it('takes its values from the record’s instance and facility', () => {
    const paths = [
      'instance-id',
      'hostname',
      'local-hostname',
      'plan',
      'facility',
      'public-ipv4',
      'local-ipv4',
      'operating-system/slug',
    ];

    assert.deepEqual(
      paths.map((path) => valueAt(EKSA, path)),
      ['52:54:00:77:00:01', 'eksa-cp01', 'eksa-cp01', 'c2.medium.x86', 'onprem', '10.0.0.5', '10.0.0.5', 'ubuntu'],
    );
    assert.equal(valueAt(EKSA, 'tags'), 'a\nb');
    assert.equal(valueAt(EKSA, 'public-keys'), 'ssh-ed25519 AAAA x\nssh-rsa BBBB y');
    assert.equal(valueAt(EKSA, 'public-keys/'), '0=key-0\n1=key-1');
    assert.equal(valueAt(EKSA, 'public-keys/1/'), 'openssh-key');
    assert.equal(valueAt(EKSA, 'public-keys/1/openssh-key'), 'ssh-rsa BBBB y');
  });

  it('falls back to the interface that the machine asks from', () => {
    assert.deepEqual(
      ['instance-id', 'hostname', 'local-ipv4'].map((path) => valueAt(SPEC, path, '10.1.0.5')),
      ['52:54:00:77:00:02', 'second', '10.1.0.5'],
    );
    assert.equal(valueAt({ interfaces: [], disks: [] }, 'instance-id', '10.9.9.9'), 'machine');
  });

  it('lists only what there is, folders with a slash, with or without one asked for', () => {
    assert.equal(valueAt(SPEC, ''), 'instance-id\nhostname\nlocal-hostname\nlocal-ipv4\nnetwork/');
    assert.equal(valueAt(EKSA, 'operating-system/'), 'slug\nversion');
    assert.ok(valueAt(EKSA, '')?.split('\n').includes('operating-system/'));
    assert.equal(valueAt(EKSA, 'hostname/'), 'eksa-cp01');
  });

  it('has nothing at paths that do not exist', () => {
    for (const path of ['public-ipv6', 'host', 'hostname/x', 'operating-system/distro', '__proto__', '../user-data']) {
      assert.equal(valueAt(EKSA, path), undefined, path);
    }
  });

  it('has EC2’s tree of interfaces, in the oldest version only of the one that asks', () => {
    const latest = instanceMetadata({ name: 'machine', spec: SPEC }, '10.1.0.5', 'latest');
    const folder = 'network/interfaces/macs/52:54:00:77:00:02';

    assert.equal(metadataAt(latest, 'mac'), '52:54:00:77:00:02');
    assert.equal(metadataAt(latest, 'network/interfaces/macs'), '52:54:00:77:00:01/\n52:54:00:77:00:02/');
    assert.equal(metadataAt(latest, folder), 'device-number\nlocal-hostname\nlocal-ipv4s\nmac');
    assert.equal(metadataAt(latest, `${folder}/device-number`), '1');
    assert.equal(metadataAt(latest, `${folder}/local-ipv4s`), '10.1.0.5');
    assert.equal(valueAt(SPEC, 'network/interfaces/macs', '10.1.0.5'), '52:54:00:77:00:02/');
    assert.equal(valueAt(SPEC, 'mac'), undefined);
  });

  it('is not disturbed by metadata of other types', () => {
    const odd: HardwareSpec = {
      ...SPEC,
      metadata: { instance: { id: 5, hostname: null, ips: 'x', tags: {}, operating_system: [] }, facility: 'f' },
    };

    assert.equal(valueAt(odd, ''), 'instance-id\nhostname\nlocal-hostname\nlocal-ipv4\nnetwork/');
    assert.equal(valueAt(odd, 'hostname'), 'first');
  });
});
