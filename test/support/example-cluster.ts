/**
 * The two-node cluster that was published for EKS Anywhere, its addresses and image rewritten to those of the lab, and its two
 * machines as VMs.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { VirtualMachine } from './lab/virtual-machine.ts';
import { GIBIBYTE } from './test-images.ts';
import { PROJECT, type World } from './world.ts';

const FIXTURES = join(PROJECT, 'test/fixtures/eksa-example');

export const EXAMPLE_CLUSTER = 'mgmt';
export const CONTROL_PLANE_NODE = { name: 'eksabmhp1-cp-n-1', mac: '08:00:27:99:5b:b7' } as const;
export const WORKER_NODE = { name: 'eksabmhp1-dp-n-1', mac: '08:00:27:ac:c9:77' } as const;

/** A published file with the addresses and the image URL of the lab in it. */
export async function rewrittenExample(world: World, name: string): Promise<string> {
  const text = await readFile(join(FIXTURES, name), 'utf8');
  return text
    .replaceAll(/https:\S+\.img\.gz/g, `http://${world.lab.address}:7171/images/bottlerocket-like.img.gz`)
    .replaceAll('http://192.168.10.64:50061', `http://${world.lab.address}:7172`)
    .replaceAll('192.168.10.', '10.77.0.');
}

/** Writes both files; resolves to the arguments that name them. */
export async function exampleFiles(world: World): Promise<readonly string[]> {
  const [cluster, hardware] = [join(world.folder, 'cluster.yaml'), join(world.folder, 'hardware.csv')];
  await writeFile(cluster, await rewrittenExample(world, 'cluster.yaml'));
  await writeFile(hardware, await rewrittenExample(world, 'hardware-fixed.csv'));
  return ['-f', cluster, '--hardware', hardware];
}

/** One of its machines with an empty disk, `/dev/sda` as in the CSV; it boots from the network first, as day 2 needs it. */
export async function powerOnExample(
  world: World,
  { name, mac }: { readonly name: string; readonly mac: string },
): Promise<VirtualMachine> {
  const disk = await world.emptyDisk(`${name}.img`, GIBIBYTE);
  return world.powerOn({ name, firmware: 'bios', mac, disk, diskKind: 'scsi', bootOrder: 'network' });
}
