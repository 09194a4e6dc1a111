import { defineLife } from './define-life.ts';

/**
 * A cluster's states. `settle`: every wanted node is ready and none is left over. `change`: another definition was given.
 * `block`: it cannot go on by itself, and says why; it goes on by `resume` (what was missing is there, or an operator asked).
 *
 *   creating → ready ⇄ changing        deleting → (gone)        blocked beside them
 */
export const clusterLife = defineLife('cluster', {
  creating: { settle: 'ready', change: 'creating', block: 'blocked', delete: 'deleting' },
  ready: { change: 'changing', delete: 'deleting' },
  changing: { settle: 'ready', change: 'changing', block: 'blocked', delete: 'deleting' },
  blocked: { resume: 'changing', change: 'changing', delete: 'deleting' },
  deleting: {},
});

export type ClusterState = (typeof clusterLife.states)[number];
export type ClusterEvent = Parameters<typeof clusterLife.next>[1];
