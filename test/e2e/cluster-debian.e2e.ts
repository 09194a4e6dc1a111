/** A cluster of one Debian machine without Kubernetes: hardware CSV and cluster file in, a machine to log in to out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SshLogin } from '#test/support/lab/ssh-login.ts';
import { debianImage, GIBIBYTE } from '#test/support/test-images.ts';
import { PATIENCE_MS, startWorld } from '#test/support/world.ts';

const node = { name: 'metal-1', mac: '52:54:00:77:00:13', address: '10.77.0.42' };
const HARDWARE_CSV = `hostname,mac,ip_address,netmask,gateway,nameservers,labels,disk
${node.name},${node.mac.toUpperCase()},${node.address},255.255.255.0,10.77.0.1,10.77.0.1,type=cp,/dev/vda
`;

describe('a cluster of Debian machines', () => {
  it('is made by one command, and its user logs in with the key of the cluster file', async (t) => {
    await using world = await startWorld({ name: 'clusterdebian' });
    const imageUrl = await world.addImage(debianImage(), 'debian-12-kube-1-31.img.zst');
    const [operator, stranger] = [await SshLogin.create(world.lab), await SshLogin.create(world.lab, 'stranger')];
    const cluster = await world.write('cluster.yaml', clusterYaml(world.lab.address, imageUrl, operator.publicKey));
    const hardware = await world.write('hardware.csv', HARDWARE_CSV);
    let said = '';
    const argv = ['cluster', 'create', '--yes', '-f', cluster, '--hardware', hardware];
    const create = world.startCli(argv, (text) => (said += text));
    await world.waitForEvent({ name: 'node.claimed', hardware: node.name }, PATIENCE_MS);
    const disk = await world.emptyDisk('metal-1.img', 2 * GIBIBYTE);

    const poweredOnAt = Date.now();
    await using vm = await world.powerOn({ firmware: 'uefi', mac: node.mac, disk, memoryMiB: 768 });
    await world.waitForEvent({ name: 'machine.installed', hardware: node.name }, PATIENCE_MS);
    await vm.waitForConsole(/Cloud-init v.* finished/, { timeoutMs: PATIENCE_MS });
    assert.equal(await create.exited, 0, said);
    t.diagnostic(`power-on to a ready cluster ${((Date.now() - poweredOnAt) / 1000).toFixed(1)} s`);

    assert.ok(said.includes(`power on ${node.name} (MAC ${node.mac}) now`), said);
    assert.match(said, /cluster\/metal ready\n$/);
    const facts = await operator.run(`ec2-user@${node.address}`, INQUIRY);
    t.diagnostic(facts);
    assert.match(facts, /^hostname metal-1$/m);
    assert.match(facts, /^address 10\.77\.0\.42\/24 static$/m);
    assert.match(facts, /^status: done$/m);
    assert.match(facts, /^errors \[\]$/m);
    assert.match(facts, /^warnings 0$/m);
    assert.match(facts, /^Valid cloud-config: system userdata$/m);
    assert.match(facts, /^root by sudo$/m);
    assert.equal(await stranger.isLetIn(`ec2-user@${node.address}`), false);
    assert.equal((await world.record('cluster', 'metal'))['state'], 'ready');
    const machine = await world.record('hardware', node.name);
    assert.equal(machine['readyBy'], 'phoneHome');
    assert.equal(typeof machine['phonedHomeAt'], 'string');
  });
});

const INQUIRY = `
echo "hostname $(hostname)"
ip -4 -o addr show scope global | awk '{ print "address", $4, (/dynamic/ ? "leased" : "static") }'
cloud-init status --wait --long | tr -d .
python3 -c 'import json; print("errors", json.load(open("/run/cloud-init/result.json"))["v1"]["errors"])'
sudo grep -E '(WARNING|ERROR)' /var/log/cloud-init.log
echo "warnings $(sudo grep -cE '(WARNING|ERROR)' /var/log/cloud-init.log)"
sudo cloud-init schema --system
echo "$(sudo id -un) by sudo"
`;

function clusterYaml(server: string, imageUrl: string, publicKey: string): string {
  return `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: Cluster
metadata:
  name: metal
  annotations: { tinsmith.dev/bootstrapper: none }
spec:
  kubernetesVersion: "1.31"
  clusterNetwork:
    cniConfig: { cilium: {} }
    pods: { cidrBlocks: [192.168.0.0/16] }
    services: { cidrBlocks: [10.96.0.0/12] }
  controlPlaneConfiguration:
    count: 1
    endpoint: { host: 10.77.0.200 }
    machineGroupRef: { kind: TinkerbellMachineConfig, name: metal }
  datacenterRef: { kind: TinkerbellDatacenterConfig, name: metal }
  managementCluster: { name: metal }
---
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellDatacenterConfig
metadata: { name: metal }
spec:
  tinkerbellIP: ${server}
  osImageURL: ${imageUrl}
---
apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellMachineConfig
metadata: { name: metal }
spec:
  hardwareSelector: { type: cp }
  osFamily: ubuntu
  users:
    - name: ec2-user
      sshAuthorizedKeys: ["${publicKey}"]
`;
}
