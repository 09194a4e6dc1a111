/** Label of workflows that the server makes itself, and the cluster that they belong to. */
export const PURPOSE_LABEL = 'tinsmith.dev/purpose';
export const CLUSTER_LABEL = 'tinsmith.dev/cluster';

/** `install` makes a node's system; `wipe` leaves the machine without any. */
export type WorkflowPurpose = 'install' | 'wipe';

export function isWipe(labels: Readonly<Record<string, string>>): boolean {
  return labels[PURPOSE_LABEL] === ('wipe' satisfies WorkflowPurpose);
}
