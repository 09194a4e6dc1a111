import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { actionNameOf, catalog } from '#proto/actions/catalog.ts';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import type { ClusterDefinition } from '../manifests/cluster-kind.ts';
import type { HardwareDhcp, HardwareManifest } from '../manifests/hardware-kind.ts';
import { loadManifests } from '../manifests/load-manifests.ts';
import type { OsFamily } from '../manifests/machine-config-kind.ts';
import type { RenderedAction } from '../manifests/template-kind.ts';
import { defaultTemplateText, metadataUrls } from './default-template.ts';
import { nodeGroups } from './node-groups.ts';
import { tryRenderNode } from './render-node.ts';

const SERVER = 'http://10.9.0.1:7172';
const BOTH = ['http://10.9.0.1:7172', 'http://10.9.0.254:7172'];

interface Machine extends Partial<HardwareDhcp> {
  readonly disk?: string;
}

function machine({ disk = '/dev/sda', ...dhcp }: Machine): HardwareManifest {
  const ip = { address: '10.9.0.11', netmask: '255.255.255.0', gateway: '10.9.0.1' };
  const given = { mac: '02:00:00:00:00:01', name_servers: ['8.8.8.8', '1.1.1.1'], ip, ...dhcp };
  return {
    name: 'n1',
    labels: {},
    annotations: {},
    spec: { interfaces: [{ dhcp: given }], disks: [{ device: disk }] },
  };
}

function definitionOf(osFamily: OsFamily, change: Partial<ClusterDefinition['cluster']> = {}): ClusterDefinition {
  const definition = clusterDefinition();
  const machineConfigs = Object.fromEntries(
    Object.entries(definition.machineConfigs).map(([name, config]) => [name, { ...config, osFamily }]),
  );
  return { ...definition, cluster: { ...definition.cluster, ...change }, machineConfigs };
}

function actionsOf(definition: ClusterDefinition, hardware: HardwareManifest): readonly RenderedAction[] {
  const [group] = nodeGroups(definition);
  assert.ok(group !== undefined);
  const subject = { definition, group, hardware, workflow: 'n1-install-1' };
  const { node, problems } = tryRenderNode(subject, { metadataUrl: SERVER, actionTimeoutMs: 1000 });
  assert.deepEqual(problems, []);
  return node?.workflow.rendered.tasks[0]?.actions ?? [];
}

function rendered(osFamily: OsFamily, of: Machine = {}): readonly RenderedAction[] {
  return actionsOf(definitionOf(osFamily), machine(of));
}

/** Text of the file that an action writes. */
function fileOf(actions: readonly RenderedAction[], path: string): string {
  const action = actions.find(({ environment }) => environment['DEST_PATH'] === path);
  return action?.environment['CONTENTS'] ?? assert.fail(`nothing writes ${path}`);
}

/** Sections of a keyfile as NetworkManager reads it. */
function keyfile(text: string): Record<string, Record<string, string>> {
  const sections: Record<string, Record<string, string>> = {};
  let section = '';
  for (const line of text.split('\n').filter((each) => each !== '')) {
    const title = /^\[(.+)\]$/.exec(line)?.[1];
    if (title !== undefined) {
      section = title;
      sections[section] = {};
      continue;
    }
    const [key = '', ...value] = line.split('=');
    const into = sections[section] ?? assert.fail(`${line} stands before any section`);
    into[key] = value.join('=');
  }
  return sections;
}

/** Disk and partitions that the actions write to. */
const disks = (family: OsFamily, disk: string) =>
  [...new Set(rendered(family, { disk }).map(({ environment }) => environment['DEST_DISK']))].filter(Boolean);
const proxies = ({ environment }: RenderedAction) =>
  ['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'].map((name) => environment[name]);
const netplan = (of: Machine) => parse(fileOf(rendered('ubuntu', of), NETPLAN));
const connection = (of: Machine) => keyfile(fileOf(rendered('redhat', of), KEYFILE));
const NETPLAN = '/etc/netplan/config.yaml';
const KEYFILE = '/etc/NetworkManager/system-connections/static-connection.nmconnection';
const summary = ({ name, image, timeoutMs, environment }: RenderedAction) => [
  name,
  actionNameOf(image),
  timeoutMs / 1000,
  environment['DEST_DISK'],
  environment['DEST_PATH'],
  environment['MODE'],
  environment['DIRMODE'],
];
const reboot = ['reboot', 'reboot', 90, undefined, undefined, undefined, undefined];
const stream = ['stream image to disk', 'image2disk', 600, '/dev/sda', undefined, undefined, undefined];
const cloudInit = (partition: string) => [
  [
    'disable cloud-init network capabilities',
    'writefile',
    90,
    partition,
    '/etc/cloud/cloud.cfg.d/99-disable-network-config.cfg',
    '0600',
    '0700',
  ],
  ['add cloud-init config', 'writefile', 90, partition, '/etc/cloud/cloud.cfg.d/10_tinkerbell.cfg', '0600', '0700'],
  ['add cloud-init ds config', 'writefile', 90, partition, '/etc/cloud/ds-identify.cfg', '0600', '0700'],
];

describe('default templates', () => {
  it('have the published actions of each family, in order', () => {
    assert.deepEqual(rendered('bottlerocket').map(summary), [
      stream,
      ['write Bottlerocket bootconfig', 'writefile', 90, '/dev/sda12', '/bootconfig.data', '0644', '0700'],
      ['write Bottlerocket user data', 'writefile', 90, '/dev/sda12', '/user-data.toml', '0644', '0700'],
      ['write netplan config', 'writefile', 90, '/dev/sda12', '/net.toml', '0644', '0755'],
      reboot,
    ]);
    assert.deepEqual(rendered('ubuntu').map(summary), [
      stream,
      ['write netplan config', 'writefile', 90, '/dev/sda2', NETPLAN, '0644', '0755'],
      ...cloudInit('/dev/sda2'),
      reboot,
    ]);
    assert.deepEqual(rendered('redhat').map(summary), [
      stream,
      ['write network manager config', 'writefile', 90, '/dev/sda1', KEYFILE, '0600', '0755'],
      ...cloudInit('/dev/sda1'),
      reboot,
    ]);
  });

  it('give every action an environment that it takes', () => {
    for (const family of ['bottlerocket', 'ubuntu', 'redhat'] as const) {
      for (const { image, environment, command } of rendered(family)) {
        const declaration = catalog[actionNameOf(image)];
        assert.doesNotThrow(() => declaration.parse(environment, command), image);
        const unknown = Object.keys(environment).filter((name) => !Object.hasOwn(declaration.environment, name));
        assert.deepEqual(unknown, []);
      }
    }
  });

  it('find the partition on NVMe disks and on disks with stable names', () => {
    assert.deepEqual(disks('ubuntu', '/dev/nvme0n1'), ['/dev/nvme0n1', '/dev/nvme0n1p2']);
    assert.deepEqual(disks('bottlerocket', '/dev/disk/by-id/wwn-0x5'), [
      '/dev/disk/by-id/wwn-0x5',
      '/dev/disk/by-id/wwn-0x5-part12',
    ]);
    assert.deepEqual(disks('redhat', '/dev/disk/by-hint/0'), ['/dev/disk/by-hint/0', '/dev/disk/by-hint/0-part1']);
  });

  it('stream the image of the group, else of the datacenter', () => {
    const definition = definitionOf('ubuntu');
    const own = { ...definition.machineConfigs['cp'], osImageURL: 'http://images.example/own.raw.gz' };
    // The key is there: clusterDefinition makes it.
    const machineConfigs = { ...definition.machineConfigs, cp: own as (typeof definition.machineConfigs)[string] };

    const urls = [definition, { ...definition, machineConfigs }].map(
      (each) => actionsOf(each, machine({}))[0]?.environment['IMG_URL'],
    );

    assert.deepEqual(urls, ['http://10.9.0.254:7171/images/os.img.gz', 'http://images.example/own.raw.gz']);
  });

  it('use a proxy for the image only, and never for the metadata service', () => {
    const proxy = { http: 'http://proxy:3128', https: 'http://proxy:3129', except: ['.example', '10.9.0.1'] };
    const actions = actionsOf(definitionOf('ubuntu', { proxy }), machine({}));

    const [image, ...others] = actions.map(proxies);
    assert.deepEqual(image, ['http://proxy:3128', 'http://proxy:3129', '.example,10.9.0.1,10.9.0.254']);
    assert.ok(others.every((each) => each.every((value) => value === undefined)));
    assert.deepEqual(proxies(rendered('ubuntu')[0] ?? assert.fail()), [undefined, undefined, undefined]);
  });

  it('name the metadata services of server and tinkerbellIP, once if they are the same', () => {
    assert.deepEqual(metadataUrls(SERVER, '10.9.0.254'), BOTH);
    assert.deepEqual(metadataUrls(SERVER, '10.9.0.1'), [SERVER]);
    const user = rendered('bottlerocket').find(({ environment }) => environment['HEGEL_URLS'] !== undefined);
    assert.equal(user?.environment['HEGEL_URLS'], BOTH.join(','));
  });

  it('refuse a group without an image with the fix', () => {
    const { datacenter, ...rest } = definitionOf('bottlerocket');
    const { osImageURL: _, ...without } = datacenter;
    const definition = { ...rest, datacenter: without };
    const [group] = nodeGroups(definition);
    assert.ok(group !== undefined);

    const subject = { definition, group, hardware: machine({}), workflow: 'w' };
    const { problems, node } = tryRenderNode(subject, { metadataUrl: SERVER, actionTimeoutMs: 1 });

    assert.equal(node, undefined);
    assert.match(problems[0]?.message ?? '', /TinkerbellMachineConfig cp names no image: set osImageURL/);
  });

  it('are manifests that can be copied: with their comments, read without a warning', () => {
    for (const family of ['bottlerocket', 'ubuntu', 'redhat'] as const) {
      const definition = definitionOf(family);
      const [, group] = nodeGroups(definition);
      assert.ok(group !== undefined);
      const text = defaultTemplateText(definition, group, SERVER);
      const { templates, problems, warnings } = loadManifests([{ name: 't.yaml', text }]);

      assert.match(text, /^# Default template of the /);
      assert.doesNotMatch(text.replace(/^#.*$/gm, ''), /@/);
      assert.deepEqual([problems, warnings], [[], []]);
      assert.equal(templates[0]?.value.name, 'c1-md-0');
    }
  });
});

describe('netplan of the Ubuntu family', () => {
  const routes = [{ to: 'default', via: '10.9.0.1' }];
  const nameservers = { addresses: ['8.8.8.8', '1.1.1.1'] };

  it('gives the interface its address by its MAC', () => {
    const id0 = { match: { macaddress: '02:00:00:00:00:01' }, addresses: ['10.9.0.11/24'], nameservers, routes };

    assert.deepEqual(netplan({}), { network: { version: 2, renderer: 'networkd', ethernets: { id0 } } });
  });

  it('gives the address to the VLAN on top of the interface', () => {
    const mainif = { match: { macaddress: '02:00:00:00:00:01' }, 'set-name': 'mainif' };
    const vlan120 = { id: 120, link: 'mainif', addresses: ['10.9.0.11/24'], nameservers, routes };

    assert.deepEqual(netplan({ vlan_id: '120' }), {
      network: { version: 2, renderer: 'networkd', ethernets: { mainif }, vlans: { vlan120 } },
    });
  });

  it('leaves out name servers and gateway that the Hardware does not have', () => {
    const bare = { ip: { address: '10.9.0.11', netmask: '255.255.0.0' }, name_servers: [] };

    const id0 = { match: { macaddress: '02:00:00:00:00:01' }, addresses: ['10.9.0.11/16'] };
    assert.deepEqual(netplan(bare).network.ethernets, { id0 });
    assert.deepEqual(netplan({ ...bare, vlan_id: '7' }).network.vlans, {
      vlan7: { id: 7, link: 'mainif', addresses: ['10.9.0.11/16'] },
    });
  });
});

describe('NetworkManager connection of the RHEL family', () => {
  const ethernet = { 'mac-address': '02:00:00:00:00:01' };
  const ipv4 = { address1: '10.9.0.11/24', dns: '8.8.8.8;1.1.1.1;', gateway: '10.9.0.1', method: 'manual' };

  it('gives the interface its address by its MAC', () => {
    assert.deepEqual(connection({}), {
      connection: { id: 'static-connection', type: 'ethernet', autoconnect: 'true' },
      ethernet,
      ipv4,
      ipv6: { method: 'ignore' },
    });
  });

  it('makes a VLAN on the interface with that MAC', () => {
    assert.deepEqual(connection({ vlan_id: '120' }), {
      connection: { id: 'static-connection', type: 'vlan', 'interface-name': 'vlan120', autoconnect: 'true' },
      ethernet,
      vlan: { flags: '1', id: '120' },
      ipv4,
      ipv6: { method: 'ignore' },
    });
  });

  it('leaves out name servers and gateway that the Hardware does not have', () => {
    const bare = connection({ ip: { address: '10.9.0.11', netmask: '255.255.0.0' }, name_servers: [] });

    assert.deepEqual(bare['ipv4'], { address1: '10.9.0.11/16', method: 'manual' });
  });
});

describe('cloud-init of the Ubuntu and RHEL families', () => {
  it('is pointed to our metadata services and told to leave the network alone', () => {
    for (const family of ['ubuntu', 'redhat'] as const) {
      const actions = rendered(family);
      const file = (name: string) => parse(fileOf(actions, `/etc/cloud/${name}`));

      assert.deepEqual(file('cloud.cfg.d/99-disable-network-config.cfg'), { network: { config: 'disabled' } });
      assert.deepEqual(file('cloud.cfg.d/10_tinkerbell.cfg'), {
        datasource: { Ec2: { metadata_urls: BOTH, strict_id: false } },
        manage_etc_hosts: 'localhost',
        manual_cache_clean: true,
        warnings: { dsid_missing_source: 'off' },
      });
      assert.equal(fileOf(actions, '/etc/cloud/ds-identify.cfg'), 'datasource: Ec2\n');
    }
  });
});
