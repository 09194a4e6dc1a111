import type { BootstrapStep } from './bootstrap/bootstrapper.ts';
import type { WantedGroup } from './cluster-facts.ts';

/** One thing to do for a cluster. Each may be done twice: the store's verbs compare before they set. */
export type ClusterStep =
  /** What happened to a node's workflow or machine is written down. */
  | { readonly kind: 'installed'; readonly hardware: string; readonly workflow: string }
  | { readonly kind: 'ready'; readonly hardware: string }
  | { readonly kind: 'failed'; readonly hardware: string; readonly workflow: string; readonly reason: string }
  | { readonly kind: 'giveBack'; readonly hardware: string }
  | { readonly kind: 'claim'; readonly hardware: string; readonly wanted: WantedGroup }
  | ProvisionStep
  | ReleaseStep
  | { readonly kind: 'settle' }
  | { readonly kind: 'block'; readonly reason: string }
  | { readonly kind: 'resume' }
  | { readonly kind: 'remove' };

/** A node's system is to be installed, for the first time or again. */
export interface ProvisionStep {
  readonly kind: 'provision';
  readonly hardware: string;
  readonly wanted: WantedGroup;
  readonly step: BootstrapStep;
  /** It is part of Kubernetes and has to leave it first. */
  readonly leaves: boolean;
}

export interface ReleaseStep {
  readonly kind: 'release';
  readonly hardware: string;
  readonly reason: string;
  /** It is part of a Kubernetes that stays, and has to leave it first. */
  readonly leaves: boolean;
  readonly wipe: boolean;
  /** After the wipe; otherwise its agent waits for what comes next. */
  readonly powersOff: boolean;
}
