import type { JsonObject } from './hardware-kind.ts';

/** TinkerbellMachineConfig, `anywhere.eks.amazonaws.com/v1alpha1`: which machines a group of nodes is made from, and how. */
export interface MachineConfigManifest {
  readonly name: string;
  readonly namespace?: string;
  /** Exactly one label; a machine config has this or `hardwareAffinity`. */
  readonly hardwareSelector?: Readonly<Record<string, string>>;
  readonly hardwareAffinity?: HardwareAffinity;
  /** Absent: `bottlerocket`, EKS Anywhere's default. */
  readonly osFamily?: OsFamily;
  readonly osImageURL?: string;
  /** Name of a TinkerbellTemplateConfig. */
  readonly templateRef?: string;
  /** EKS Anywhere uses the first one and its first key; we use all of them. */
  readonly users: readonly NodeUser[];
  readonly ntpServers: readonly string[];
  readonly certBundles: readonly { readonly name: string; readonly data: string }[];
  /** `kubernetes`, `kernel` and `boot` settings, as Bottlerocket knows them. */
  readonly bottlerocketConfiguration?: JsonObject;
}

export type OsFamily = 'ubuntu' | 'redhat' | 'bottlerocket';

export interface NodeUser {
  readonly name: string;
  readonly sshAuthorizedKeys: readonly string[];
}

export interface HardwareAffinity {
  /** A machine fits if any of them matches. Not empty. */
  readonly required: readonly AffinityTerm[];
  /** Weights of all terms that match add up. */
  readonly preferred: readonly { readonly weight: number; readonly term: AffinityTerm }[];
}

/** A machine matches if it has all labels and all expressions hold. */
export interface AffinityTerm {
  readonly matchLabels: Readonly<Record<string, string>>;
  readonly matchExpressions: readonly LabelExpression[];
}

export interface LabelExpression {
  readonly key: string;
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
  readonly values: readonly string[];
}
