import { defineLife } from './define-life.ts';

/**
 * A node is a machine in a cluster. `claim` made it (compare-and-set: a machine is in one cluster at most). `provision`: its
 * workflow exists. `install`: the workflow succeeded, the disk boots. `ready`: the installed system said that it is up (or, where
 * it cannot say so, was installed). `fail`: the workflow failed, or the system said that its first start did. `release`: it leaves the cluster; the row goes when its disk is wiped and its secrets are gone.
 *
 *   claimed → provisioning → installed → ready → releasing → (gone)        failed beside them
 */
export const nodeLife = defineLife('node', {
  claimed: { provision: 'provisioning', release: 'releasing' },
  provisioning: { install: 'installed', fail: 'failed', release: 'releasing' },
  installed: { ready: 'ready', provision: 'provisioning', fail: 'failed', release: 'releasing' },
  ready: { provision: 'provisioning', release: 'releasing' },
  failed: { provision: 'provisioning', release: 'releasing' },
  releasing: { release: 'releasing' },
});

export type NodeState = (typeof nodeLife.states)[number];
export type NodeEvent = Parameters<typeof nodeLife.next>[1];
