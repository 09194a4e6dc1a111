import type { BootstrapStep } from './bootstrap/bootstrapper.ts';
import type { WantedGroup } from './cluster-facts.ts';

/** One thing to do for a cluster. Each may be done twice: the store's verbs compare before they set. */
export type ClusterStep = FactStep | ClaimStep | ProvisionStep | ReleaseStep | StateStep;

/** What happened to a node's workflow or machine is written down. */
export type FactStep =
  | { readonly kind: 'installed'; readonly hardware: string; readonly workflow: string }
  | { readonly kind: 'ready'; readonly hardware: string }
  | { readonly kind: 'failed'; readonly hardware: string; readonly workflow: string; readonly reason: string }
  | { readonly kind: 'retried'; readonly hardware: string; readonly workflow: string }
  | { readonly kind: 'giveBack'; readonly hardware: string };

/** The cluster itself goes a step through its life. */
export type StateStep =
  | { readonly kind: 'settle' }
  | { readonly kind: 'block'; readonly reason: string }
  | { readonly kind: 'resume' }
  | { readonly kind: 'remove' };

interface ClaimStep {
  readonly kind: 'claim';
  readonly hardware: string;
  readonly wanted: WantedGroup;
}

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

export function isStateStep(step: ClusterStep): step is StateStep {
  return !('hardware' in step);
}

export function isFactStep(step: ClusterStep): step is FactStep {
  return 'hardware' in step && !('wanted' in step) && step.kind !== 'release';
}
