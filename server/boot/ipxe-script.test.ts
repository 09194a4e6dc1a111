import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseKernelCommandLine } from '#proto/boot-parameters.ts';
import type { HardwareInterface } from '../manifests/hardware-kind.ts';
import { type BootEnvironment, type BootingMachine, bootScript, localBootScript, ownScript } from './ipxe-script.ts';

const MAC = '52:54:00:77:00:01';
const TOKEN = 'A_-z'.repeat(10);
const ENVIRONMENT: BootEnvironment = {
  httpUrl: 'http://10.77.0.1:7171',
  grpcServer: '10.77.0.1:42114',
  caHash: 'ab'.repeat(32),
  giveUpSeconds: 600,
  kernelArgs: 'console=tty0  console=ttyS0,115200',
};

function machine(iface: Partial<HardwareInterface> = {}, agentID?: string): BootingMachine {
  return {
    name: 'node-1',
    mac: MAC,
    iface: { dhcp: { mac: MAC }, ...iface },
    ...(agentID === undefined ? {} : { agentID }),
  };
}

function kernelLine(script: string): string {
  const line = script.split('\n').find((candidate) => candidate.startsWith('kernel '));
  assert.ok(line !== undefined);
  return line;
}

function parametersOf(script: string): ReadonlyMap<string, string> {
  return parseKernelCommandLine(kernelLine(script));
}

describe('ipxe script', () => {
  it('gives the kernel every parameter that init and agent read', () => {
    const parameters = parametersOf(bootScript(machine(), TOKEN, ENVIRONMENT));

    for (const [name, value] of [
      ['tinsmith.server', '10.77.0.1:42114'],
      ['tinsmith.http', 'http://10.77.0.1:7171'],
      ['tinsmith.token', TOKEN],
      ['tinsmith.ca', 'ab'.repeat(32)],
      ['tinsmith.mac', MAC],
      ['tinsmith.ip', '${netX/ip}/${netX/netmask}/${netX/gateway}/${netX/dns}'],
      ['tinsmith.giveup', '600'],
      ['worker_id', MAC],
      ['hw_addr', MAC],
      ['initrd', 'initramfs'],
      ['rootfstype', 'ramfs'],
    ] as const) {
      assert.equal(parameters.get(name), value, name);
    }
    assert.equal(parameters.has('vlan_id'), false);
  });

  it('shows the token nowhere but on the kernel’s line', () => {
    const script = bootScript(machine(), TOKEN, ENVIRONMENT);

    assert.equal(script.split(TOKEN).length, 2);
    assert.ok(kernelLine(script).includes(TOKEN));
  });

  it('names VLAN, agent id and the operator’s arguments, which come last', () => {
    const iface = {
      dhcp: { mac: MAC, vlan_id: '42' },
      netboot: { osie: { kernelParams: ['debug x="a b"', 'panic=0'] } },
    };
    const script = bootScript(machine(iface, 'agent-7'), TOKEN, ENVIRONMENT);
    const parameters = parametersOf(script.replaceAll(' && goto', ''));

    assert.deepEqual(
      [parameters.get('vlan_id'), parameters.get('worker_id'), parameters.get('hw_addr')],
      ['42', 'agent-7', MAC],
    );
    assert.deepEqual(
      [parameters.get('x'), parameters.get('panic'), parameters.get('console')],
      ['a b', '0', 'ttyS0,115200'],
    );
  });

  it('fetches kernel and initramfs from the machine’s own place where the record names one', () => {
    const osie = { baseURL: 'http://files/x/', kernel: 'vmlinuz-6', initrd: 'http://other/initrd' };
    const script = bootScript(machine({ netboot: { osie } }), TOKEN, ENVIRONMENT);

    assert.match(script, /^kernel http:\/\/files\/x\/vmlinuz-6 /m);
    assert.match(script, /^initrd --name initramfs http:\/\/other\/initrd &&/m);
  });

  it('jumps to labels that exist only, and each once', () => {
    const script = bootScript(machine(), TOKEN, ENVIRONMENT) + localBootScript(machine(), {});
    const labels = [...script.matchAll(/^:(\S+)$/gm)].map((match) => match[1]);

    assert.equal(new Set(labels).size, labels.length);
    for (const [, target] of script.matchAll(/goto (\S+)/g)) assert.ok(labels.includes(target), target);
  });

  const hostile: readonly [string, Partial<HardwareInterface>, string?][] = [
    ['a line break in kernelParams', { netboot: { osie: { kernelParams: ['quiet\nshell'] } } }],
    ['a carriage return in kernelParams', { netboot: { osie: { kernelParams: ['quiet\rshell'] } } }],
    ['an iPXE setting in kernelParams', { netboot: { osie: { kernelParams: ['x=${net0/mac}'] } } }],
    ['a command separator in kernelParams', { netboot: { osie: { kernelParams: ['a ; shell'] } } }],
    ['an or in kernelParams', { netboot: { osie: { kernelParams: ['a || shell'] } } }],
    ['a comment in kernelParams', { netboot: { osie: { kernelParams: ['# rest'] } } }],
    ['a line break in the VLAN', { dhcp: { mac: MAC, vlan_id: '1\nshell' } }],
    ['a blank in the agent id', {}, 'a b'],
    ['a blank in the kernel’s name', { netboot: { osie: { kernel: 'vmlinuz && shell' } } }],
    ['another scheme in the base URL', { netboot: { osie: { baseURL: 'file:///etc' } } }],
    ['a setting in the base URL', { netboot: { osie: { baseURL: 'http://${x}/' } } }],
  ];
  for (const [what, iface, agentID] of hostile) {
    it(`refuses ${what}`, () => {
      assert.throws(() => bootScript(machine(iface, agentID), TOKEN, ENVIRONMENT), { code: 'invalid_input' });
    });
  }

  it('prints a hostile name harmlessly', () => {
    const script = bootScript({ ...machine(), name: 'a\nshell ${x} && b' }, TOKEN, ENVIRONMENT);

    assert.match(script, /^echo Tinsmith: starting ashellxb from/m);
  });

  it('lets a BIOS leave to its disk and helps UEFI by localboot.efi where we have it', () => {
    const plain = localBootScript(machine(), {});
    const helped = localBootScript(machine(), { localBoot: 'http://10.77.0.1:7171/boot/localboot.efi' });

    assert.match(plain, /platform} efi && goto uefi \|\|\nexit\n:uefi\nexit 1\n$/);
    assert.match(helped, /:uefi\nchain --autofree http:\/\/10\.77\.0\.1:7171\/boot\/localboot\.efi \|\|\nexit 1\n$/);
  });

  it('serves the operator’s own script as written, and chains to the operator’s URL', () => {
    assert.equal(ownScript(machine({ netboot: { ipxe: { contents: '#!ipxe\nshell\n' } } })), '#!ipxe\nshell\n');
    assert.equal(ownScript(machine({ netboot: { ipxe: { contents: 'shell' } } })), '#!ipxe\nshell');
    assert.equal(
      ownScript(machine({ netboot: { ipxe: { url: 'http://x/y' } } })),
      '#!ipxe\nchain --autofree http://x/y || exit 1\n',
    );
    assert.equal(ownScript(machine()), undefined);
    assert.throws(() => ownScript(machine({ netboot: { ipxe: { url: 'http://x/ && shell' } } })), {
      code: 'invalid_input',
    });
  });
});
