import type { JsonObject } from './hardware-kind.ts';

/**
 * TinkerbellMachineConfig, `anywhere.eks.amazonaws.com/v1alpha1`: which machines a group of nodes is made from. Kept for
 * checks only: this version stores no clusters.
 */
export interface MachineConfigManifest {
  readonly name: string;
  /** Exactly one label; a machine config has this or `hardwareAffinity`. */
  readonly hardwareSelector?: Readonly<Record<string, string>>;
  readonly hardwareAffinity?: JsonObject;
  readonly osFamily?: 'ubuntu' | 'redhat' | 'bottlerocket';
  readonly osImageURL?: string;
  /** Name of a TinkerbellTemplateConfig. */
  readonly templateRef?: string;
}
