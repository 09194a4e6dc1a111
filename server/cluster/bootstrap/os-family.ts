import type { MachineConfigManifest, OsFamily } from '../../manifests/machine-config-kind.ts';

/** The family of a machine config; one that names none is Bottlerocket, as EKS Anywhere's own definition of the kind has it. */
export function osFamilyOf({ osFamily }: Pick<MachineConfigManifest, 'osFamily'>): OsFamily {
  return osFamily ?? 'bottlerocket';
}
