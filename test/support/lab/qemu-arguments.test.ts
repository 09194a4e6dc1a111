import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { qemuArguments, type VmOptions } from './qemu-arguments.ts';

const place = {
  tap: 'tap0',
  qmpSocket: '/run/lab/tap0.qmp',
  firmwareVariables: '/run/lab/vars.fd',
  accelerator: 'tcg',
} as const;

function commandLine(options: Partial<VmOptions>): string {
  return qemuArguments({ firmware: 'bios', mac: '52:54:00:77:00:01', disk: '/d.img', ...options }, place).join(' ');
}

describe('qemuArguments', () => {
  it('lets a disk come before the network unless told otherwise', () => {
    assert.match(commandLine({}), /virtio-net-pci,\S*bootindex=2.*virtio-blk-pci,\S*bootindex=1/);
    assert.match(commandLine({ bootOrder: 'network' }), /virtio-net-pci,\S*bootindex=1.*virtio-blk-pci,\S*bootindex=2/);
  });

  it('gives a UEFI machine the firmware’s own PXE: its card has no ROM', () => {
    assert.match(commandLine({ firmware: 'uefi' }), /virtio-net-pci,\S*romfile= /);
    assert.doesNotMatch(commandLine({ firmware: 'uefi', uefiRom: 'ipxe' }), /romfile=/);
    assert.doesNotMatch(commandLine({ firmware: 'bios' }), /romfile=|pflash/);
  });

  it('attaches each kind of disk with one boot index', () => {
    for (const diskKind of ['virtio', 'nvme', 'sata-ide', 'scsi'] as const) {
      const disks = commandLine({ diskKind }).match(/drive=d0,serial=tinsmith-disk,bootindex=1/g);
      assert.equal(disks?.length, 1, diskKind);
    }
  });

  it('gives the disk blocks of another size', () => {
    assert.match(
      commandLine({ diskBlockBytes: 4096 }),
      /drive=d0,\S*logical_block_size=4096,physical_block_size=4096 ?/,
    );
    assert.doesNotMatch(commandLine({}), /block_size/);
  });

  it('doubles commas in paths, which would end QEMU’s option', () => {
    assert.match(commandLine({ disk: '/a,b.img' }), /file=\/a,,b\.img,format=raw/);
  });

  it('emulates the processor unless KVM is asked for', () => {
    assert.match(commandLine({}), /-accel tcg,thread=multi -cpu max /);
    const [...argv] = qemuArguments({ firmware: 'bios', mac: '52:54:00:77:00:01' }, { ...place, accelerator: 'kvm' });
    assert.match(argv.join(' '), /-accel kvm -cpu host /);
  });

  it('makes a machine without a disk', () => {
    const [...argv] = qemuArguments({ firmware: 'bios', mac: '52:54:00:77:00:01' }, place);

    assert.ok(!argv.join(' ').includes('drive'));
  });
});
