import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import type { HardwareFacts } from '#proto/actions/facts.ts';
import { actionContext } from '#test/support/action-context.ts';
import { type FolderMachine, folderMachine } from '../machine/folder-machine.ts';
import { type ActionRunResult, runActionWithPolicy } from './run-action.ts';

const PARTITION = '/dev/sda2';
const FACTS: HardwareFacts = {
  hardware: 'node-1',
  interfaces: [
    {
      mac: '52:54:00:00:00:01',
      address: '10.0.0.5',
      netmask: '255.255.255.0',
      gateway: '10.0.0.1',
      nameServers: ['10.0.0.2'],
    },
  ],
};
const BONDED: HardwareFacts = {
  ...FACTS,
  network: {
    ethernets: {
      first: { macaddress: '52:54:00:00:00:01', name: 'eno1' },
      second: { macaddress: '52:54:00:00:00:02', name: 'eno2' },
      storage: { macaddress: '52:54:00:00:00:03', mtu: 9000, addresses: ['10.3.0.5/24', 'fd00::5/64'] },
    },
    bonds: { bond0: { interfaces: ['first', 'second'], parameters: { 'up-delay': 200 } } },
    vlans: {
      vlan7: {
        id: 7,
        link: 'bond0',
        addresses: ['10.7.0.5/24'],
        routes: [{ to: '10.8.0.0/16', via: '10.7.0.1', metric: 50 }],
        nameservers: { search: ['example.org'] },
      },
      vlan8: { id: 8, link: 'storage', dhcp4: true },
    },
  },
};

let folder: string;
let machine: FolderMachine;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-network-'));
  machine = folderMachine({ folder, disks: {} });
});

afterEach(() => rm(folder, { recursive: true, force: true }));

async function perform(facts: HardwareFacts, environment: Record<string, string>): Promise<ActionRunResult> {
  const context = actionContext(machine, { facts });
  const complete = { DEST_DISK: PARTITION, FS_TYPE: 'ext4', ...environment };
  return runActionWithPolicy(
    { builtIn: 'network', environment: complete, command: [], timeoutMs: 0, retries: 0 },
    context,
  );
}

function target(path: string): string {
  return join(machine.folderOf(PARTITION), path);
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(target(path))).mode & 0o7777).toString(8);
}

describe('network', () => {
  it('writes netplan that only root can read', async () => {
    const result = await perform(FACTS, { FORMAT: 'netplan' });

    assert.equal(result.error, undefined);
    const text = await readFile(target('/etc/netplan/config.yaml'), 'utf8');
    assert.match(text, /^network:\n {4}version: 2\n {4}renderer: networkd\n/);
    assert.match(text, /- 10\.0\.0\.5\/24\n/);
    assert.equal(await modeOf('/etc/netplan/config.yaml'), '600');
    assert.equal(await modeOf('/etc/netplan'), '755');
  });

  it('writes a keyfile for each link of NetworkManager, which only root can read', async () => {
    for (let i = 0; i < 2; i++) assert.equal((await perform(BONDED, { FORMAT: 'NetworkManager' })).error, undefined);

    const place = '/etc/NetworkManager/system-connections';
    const names = (await readdir(target(place))).toSorted();
    assert.deepEqual(
      names,
      ['bond0', 'first', 'second', 'storage', 'vlan7', 'vlan8'].map((name) => `${name}.nmconnection`),
    );
    for (const name of names) assert.equal(await modeOf(`${place}/${name}`), '600');
    const texts = await Promise.all(
      ['first', 'bond0', 'vlan7', 'vlan8'].map((name) => readFile(target(`${place}/${name}.nmconnection`), 'utf8')),
    );
    // Each of these was read by nmcli 1.42 (`nmcli --offline connection modify`), which kept every line.
    assert.deepEqual(texts, [
      '[connection]\nid=first\ntype=ethernet\nmaster=bond0\nslave-type=bond\n\n[ethernet]\nmac-address=52:54:00:00:00:01\n',
      '[connection]\nid=bond0\ntype=bond\ninterface-name=bond0\n\n[bond]\nmode=active-backup\nmiimon=100\nupdelay=200\n\n' +
        '[ipv4]\nmethod=manual\naddress1=10.0.0.5/24\nroute1=0.0.0.0/0,10.0.0.1\ndns=10.0.0.2;\n\n[ipv6]\nmethod=ignore\n',
      '[connection]\nid=vlan7\ntype=vlan\ninterface-name=vlan7\n\n[vlan]\nflags=1\nid=7\nparent=bond0\n\n' +
        '[ipv4]\nmethod=manual\naddress1=10.7.0.5/24\nroute1=10.8.0.0/16,10.7.0.1,50\ndns-search=example.org;\n\n' +
        '[ipv6]\nmethod=ignore\n',
      '[connection]\nid=vlan8\ntype=vlan\ninterface-name=vlan8\n\n[ethernet]\nmac-address=52:54:00:00:00:03\n\n' +
        '[vlan]\nflags=1\nid=8\n\n[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=ignore\n',
    ]);
  });

  it('writes net.toml for Bottlerocket, which names what bonds and VLANs stand on, and its name servers', async () => {
    const facts = { ...BONDED, network: { ...BONDED.network, vlans: { vlan7: { id: 7, link: 'bond0' } } } };

    assert.equal((await perform(facts, { FORMAT: 'bottlerocket' })).error, undefined);

    assert.equal(
      await readFile(target('/net.toml'), 'utf8'),
      `version = 3

["52:54:00:00:00:03"]
mtu = 9000

["52:54:00:00:00:03".static4]
addresses = ["10.3.0.5/24"]

["52:54:00:00:00:03".static6]
addresses = ["fd00::5/64"]

["bond0"]
primary = true
kind = "bond"
interfaces = ["eno1", "eno2"]
mode = "active-backup"

["bond0".monitoring]
miimon-frequency-ms = 100
miimon-updelay-ms = 200
miimon-downdelay-ms = 100

["bond0".static4]
addresses = ["10.0.0.5/24"]

[["bond0".route]]
to = "default"
via = "10.0.0.1"
route-metric = 100

["vlan7"]
kind = "vlan"
device = "bond0"
id = 7
`,
    );
    assert.equal(await modeOf('/net.toml'), '644');
    assert.match(
      await readFile(target('/user-data.toml'), 'utf8'),
      /\[settings\.dns\]\nname-servers = \["10\.0\.0\.2"\]/,
    );
  });

  it('says what net.toml cannot say', async () => {
    const lacp = { bonds: { bond0: { interfaces: ['52:54:00:00:00:01'], parameters: { mode: '802.3ad' } } } } as const;
    const nameless = { vlans: { vlan7: { id: 7, link: '52:54:00:00:00:01', addresses: ['10.7.0.5/24'] } } };

    const results = [
      await perform({ ...FACTS, network: lacp }, { FORMAT: 'bottlerocket' }),
      await perform({ ...FACTS, network: nameless }, { FORMAT: 'bottlerocket' }),
    ];

    assert.deepEqual(
      results.map(({ error }) => error?.code),
      ['invalid_params', 'invalid_params'],
    );
    assert.match(results[0]?.error?.message ?? '', /bond0 has mode 802\.3ad, use active-backup/);
    assert.match(results[1]?.error?.message ?? '', /52:54:00:00:00:01 has no name .* set spec\.network\.ethernets/);
  });

  it('refuses a format or place that it does not know', async () => {
    for (const environment of [
      { FORMAT: 'ifupdown' },
      {},
      { FORMAT: 'netplan', DEST_PATH: '/etc/../x' },
      { FORMAT: 'netplan', DEST_PATH: 'etc' },
    ]) {
      assert.equal((await perform(FACTS, environment)).error?.code, 'invalid_params');
    }
    assert.equal((await perform(FACTS, { FORMAT: 'netplan', DEST_PATH: '/etc/netplan/50-own.yaml' })).error, undefined);
    assert.match(await readFile(target('/etc/netplan/50-own.yaml'), 'utf8'), /10\.0\.0\.5/);
  });
});
