/** A real operating system: Debian 12 from its cloud image, with cloud-init against our metadata service, on BIOS (a cluster on UEFI). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SshLogin } from '#test/support/lab/ssh-login.ts';
import { hardwareYaml, workflowYaml } from '#test/support/lab-manifests.ts';
import { debianImage, GIBIBYTE } from '#test/support/test-images.ts';
import { ubuntuTemplateYaml } from '#test/support/ubuntu-template.ts';
import { PATIENCE_MS, startWorld } from '#test/support/world.ts';

const machine = { name: 'debian-1', mac: '52:54:00:77:00:12', address: '10.77.0.41' };

describe('Debian 12', () => {
  it('is installed by the Ubuntu family’s template and set up by its user data', async (t) => {
    await using world = await startWorld({ name: 'debian', images: [debianImage()] });
    const metadataUrl = `http://${world.lab.address}:7172`;
    const operator = await SshLogin.create(world.lab);
    const guest = await SshLogin.create(world.lab, 'guest');
    await world.apply({
      'hardware.yaml': hardwareYaml({
        ...machine,
        userData: userData(operator.publicKey, metadataUrl),
        sshKeys: [guest.publicKey],
      }),
      'template.yaml': await ubuntuTemplateYaml(
        'ubuntu',
        `http://${world.lab.address}:7171/images/debian-12.img.zst`,
        metadataUrl,
      ),
      'workflow.yaml': workflowYaml('install-1', 'ubuntu', machine.name),
    });
    const disk = await world.emptyDisk('debian-1.img', 2 * GIBIBYTE);

    const poweredOnAt = Date.now();
    await using vm = await world.powerOn({ firmware: 'bios', mac: machine.mac, disk, memoryMiB: 768 });
    await world.waitForEvent({ name: 'machine.installed' }, PATIENCE_MS);
    t.diagnostic(`power-on to installed ${seconds(poweredOnAt)}`);
    await vm.waitForConsole(/Cloud-init v.* finished/, { timeoutMs: PATIENCE_MS });
    t.diagnostic(`power-on to cloud-init finished ${seconds(poweredOnAt)}`);

    const target = `ops@${machine.address}`;
    const facts = await operator.run(target, INQUIRY);
    t.diagnostic(facts);
    assert.match(facts, /^hostname debian-1$/m);
    assert.match(facts, /^address 10\.77\.0\.41\/24 static$/m);
    assert.match(facts, /^nameserver 10\.77\.0\.1$/m);
    assert.match(facts, /^status: done$/m);
    assert.match(facts, /DataSourceEc2/);
    assert.match(facts, /^errors \[\]$/m);
    assert.match(facts, /^warnings 0$/m);
    assert.match(facts, /^failed units 0$/m);
    assert.match(facts, /^written by user data$/m);
    assert.match(facts, /^ran as root on debian-1$/m);
    const [, rootMib = ''] = /^root file system (\d+)M$/m.exec(facts) ?? [];
    assert.ok(Number(rootMib) > 1800, `cloud-init lets the root file system grow; it has ${rootMib} MiB`);
    assert.equal(await guest.isLetIn(target), false);
    assert.ok(await guest.isLetIn(`debian@${machine.address}`), 'the image’s own user has the keys of the metadata');

    const hardware = await world.record('hardware', machine.name);
    assert.equal(hardware['stage'], 'installed');
    assert.equal(typeof hardware['phonedHomeAt'], 'string', 'cloud-init phones home at its end');
    assert.equal(typeof hardware['readyAt'], 'string');
  });
});

/** Asked in one login: each takes an emulated machine seconds. */
const INQUIRY = `
echo "hostname $(hostname)"
ip -4 -o addr show scope global | awk '{ print "address", $4, (/dynamic/ ? "leased" : "static") }'
grep '^nameserver ' /run/systemd/resolve/resolv.conf
cloud-init status --wait --long | tr -d .
python3 -c 'import json; print("errors", json.load(open("/run/cloud-init/result.json"))["v1"]["errors"])'
sudo grep -E '(WARNING|ERROR)' /var/log/cloud-init.log
echo "warnings $(sudo grep -cE '(WARNING|ERROR)' /var/log/cloud-init.log)"
cat /etc/from-user-data /var/lib/ran
echo "root file system $(df -BM --output=size / | tail -n 1 | tr -d ' ')"
echo "failed units $(systemctl list-units --failed --no-legend | wc -l)"
systemd-analyze | head -n 1
`;

function userData(publicKey: string, metadataUrl: string): string {
  return `#cloud-config
users:
  - default
  - name: ops
    sudo: ALL=(ALL) NOPASSWD:ALL
    shell: /bin/bash
    ssh_authorized_keys: ["${publicKey}"]
write_files:
  - path: /etc/from-user-data
    content: |
      written by user data
runcmd:
  - echo "ran as $(id -un) on $(hostname)" >/var/lib/ran
phone_home:
  url: ${metadataUrl}/phone-home
  post: all
  tries: 5
`;
}

function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}
