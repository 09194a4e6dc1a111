import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { grubDefaultEntry } from './grub-config.ts';

/** The shape of an Ubuntu cloud image: functions, conditions and variables around what counts. */
const UBUNTU = `if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
else
   set default="0"
fi
function gfxmode {
	set gfxpayload="\${1}"
	if [ "\${1}" = "keep" ]; then
		set vt_handoff=vt.handoff=7
	else
		set vt_handoff=
	fi
}
menuentry 'Ubuntu' --class ubuntu --class gnu-linux $menuentry_id_option 'gnulinux-simple-1' {
	recordfail
	gfxmode $linux_gfx_mode
	if [ "\${initrdfail}" = 1 ]; then
	  linux	/vmlinuz-6.8.0-31-generic root=LABEL=cloudimg-rootfs ro  console=tty1 console=ttyS0 \${extra} $vt_handoff
	  initrd	/initrd.img-6.8.0-31-generic
	else
	  linux	/vmlinuz-6.8.0-31-generic root=PARTUUID=1 ro panic=-1
	fi
	initrdfail
}
`;

/** RHEL 7. */
const RHEL = `set default="\${saved_entry}"
menuentry 'Red Hat' --class red $menuentry_id_option 'gnulinux-3.10-advanced' {
	linux16 ($root)/vmlinuz-3.10.0-1160.el7.x86_64 root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root rhgb
	initrd16 ($root)/initramfs-3.10.0-1160.el7.x86_64.img
}
`;

describe('a GRUB configuration', () => {
  it('of Ubuntu gives the entry with its initrd, and nothing for variables that only GRUB has', () => {
    assert.deepEqual(grubDefaultEntry(UBUNTU, 'grub.cfg'), {
      kernel: '/vmlinuz-6.8.0-31-generic',
      initrds: ['/initrd.img-6.8.0-31-generic'],
      commandLine: 'root=LABEL=cloudimg-rootfs ro console=tty1 console=ttyS0',
    });
  });

  it('of RHEL 7 gives its first entry when the default is kept in the environment block', () => {
    assert.deepEqual(grubDefaultEntry(RHEL, 'grub.cfg'), {
      kernel: '/vmlinuz-3.10.0-1160.el7.x86_64',
      initrds: ['/initramfs-3.10.0-1160.el7.x86_64.img'],
      commandLine: 'root=/dev/mapper/rhel-root ro rd.lvm.lv=rhel/root rhgb',
    });
  });

  it('of RHEL 9 keeps its entries elsewhere, and the error says what to set', () => {
    assert.throws(() => grubDefaultEntry('set default="${saved_entry}"\ninsmod blscfg\nblscfg\n', 'grub.cfg'), {
      code: 'unsupported',
      message: /separate files, set KERNEL_PATH/,
    });
  });
});
