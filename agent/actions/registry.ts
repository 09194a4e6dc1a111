import type { ActionName, ActionParams } from '#proto/actions/catalog.ts';
import type { Action } from './action-context.ts';
import { archive2disk } from './archive2disk.ts';
import { cexec } from './cexec.ts';
import { grub2disk } from './grub2disk.ts';
import { image2disk } from './image2disk.ts';
import { kexec } from './kexec.ts';
import { network } from './network.ts';
import { oci2disk } from './oci2disk.ts';
import { poweroff } from './poweroff.ts';
import { qemuimg2disk } from './qemuimg2disk.ts';
import { reboot } from './reboot.ts';
import { rootio } from './rootio.ts';
import { slurp } from './slurp.ts';
import { syslinux } from './syslinux.ts';
import { users } from './users.ts';
import { wipe } from './wipe.ts';
import { writefile } from './writefile.ts';

/** Every declared action has its function here, or this file does not compile. */
export const registry: { readonly [N in ActionName]: Action<ActionParams[N]> } = {
  image2disk,
  qemuimg2disk,
  writefile,
  cexec,
  archive2disk,
  oci2disk,
  slurp,
  network,
  grub2disk,
  syslinux,
  rootio,
  users,
  wipe,
  reboot,
  poweroff,
  kexec,
};
