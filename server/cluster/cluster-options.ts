/** How a cluster is made and changed; what its file does not say. Kept with it, and changed by the commands of day 2. */
export interface ClusterOptions {
  /** Further installations on the same machine after one that failed. */
  readonly retries: number;
  /** When those are used up: a spare machine takes its place, or the cluster stops and waits for an operator. */
  readonly onFailure: 'spare' | 'stop';
  /** Workers that are installed at the same time. */
  readonly parallel: number;
  /** Kubernetes is not asked to give up a node before its machine is taken. */
  readonly skipDrain: boolean;
  /** Disks of machines that leave are emptied. */
  readonly wipe: boolean;
  /** A control plane of one machine may be installed anew on that machine, which loses what the cluster remembers. */
  readonly loseState: boolean;
}

export const DEFAULT_CLUSTER_OPTIONS: ClusterOptions = {
  retries: 1,
  onFailure: 'spare',
  parallel: 16,
  skipDrain: false,
  wipe: true,
  loseState: false,
};
