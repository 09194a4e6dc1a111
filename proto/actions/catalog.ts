import { TinsmithError } from '../errors.ts';
import { type Archive2diskParams, archive2disk } from './archive2disk.ts';
import { type CexecParams, cexec } from './cexec.ts';
import type { ActionDeclaration } from './declaration.ts';
import { type Grub2diskParams, grub2disk } from './grub2disk.ts';
import { type Image2diskParams, image2disk } from './image2disk.ts';
import { type KexecParams, kexec } from './kexec.ts';
import { type NetworkParams, network } from './network.ts';
import { type Oci2diskParams, oci2disk } from './oci2disk.ts';
import { type PoweroffParams, poweroff } from './poweroff.ts';
import { type Qemuimg2diskParams, qemuimg2disk } from './qemuimg2disk.ts';
import { type RebootParams, reboot } from './reboot.ts';
import { type RootioParams, rootio } from './rootio.ts';
import { type SlurpParams, slurp } from './slurp.ts';
import { type SyslinuxParams, syslinux } from './syslinux.ts';
import { type UsersParams, users } from './users.ts';
import { type WipeParams, wipe } from './wipe.ts';
import { type WritefileParams, writefile } from './writefile.ts';

/** Built-in action → its parameters. The agent's registry is complete over this type or does not compile. */
export interface ActionParams {
  readonly image2disk: Image2diskParams;
  readonly qemuimg2disk: Qemuimg2diskParams;
  readonly writefile: WritefileParams;
  readonly cexec: CexecParams;
  readonly archive2disk: Archive2diskParams;
  readonly oci2disk: Oci2diskParams;
  readonly slurp: SlurpParams;
  readonly network: NetworkParams;
  readonly grub2disk: Grub2diskParams;
  readonly syslinux: SyslinuxParams;
  readonly rootio: RootioParams;
  readonly users: UsersParams;
  readonly wipe: WipeParams;
  readonly reboot: RebootParams;
  readonly poweroff: PoweroffParams;
  readonly kexec: KexecParams;
}

export type ActionName = keyof ActionParams;

export const catalog: { readonly [N in ActionName]: ActionDeclaration<ActionParams[N]> } = {
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

export function isActionName(text: string): text is ActionName {
  return Object.hasOwn(catalog, text);
}

/**
 * Maps an action's image reference to a built-in by its base name: registry, path (`hub/`, `actions/`, `embedded/`), tag and
 * digest do not count. Throws `unknown_action` with the list of what exists.
 */
export function actionNameOf(image: string): ActionName {
  const name = imageBaseName(image);
  if (isActionName(name)) return name;
  const known = Object.keys(catalog).toSorted().join(', ');
  throw new TinsmithError('unknown_action', `the action image ${image} names no built-in action: use one of ${known}`);
}

/** A reference without tag and digest: `registry.example.org:5000/site/my-image`. */
export function imageName(image: string): string {
  const withoutDigest = image.split('@', 1)[0] ?? '';
  // A colon before the last slash is the registry's port.
  return withoutDigest.replace(/:[^:/]*$/, '');
}

export function imageBaseName(image: string): string {
  const name = imageName(image);
  return name.slice(name.lastIndexOf('/') + 1);
}
