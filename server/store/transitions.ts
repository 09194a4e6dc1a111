import { applyTransitions } from './apply-transitions.ts';
import { attemptTransitions } from './attempt-transitions.ts';
import type { Changes } from './change.ts';
import { clusterTransitions } from './cluster-transitions.ts';
import { imageTransitions } from './image-transitions.ts';
import { installedTransitions } from './installed-transitions.ts';
import { machineTransitions } from './machine-transitions.ts';
import { nodeTransitions } from './node-transitions.ts';
import type { Transitions } from './transitions-contract.ts';
import { workflowTransitions } from './workflow-transitions.ts';

/** Every way in which a stage or a state changes, by subject. No other file of the server may change one (tested). */
export function transitions(changes: Changes): Transitions {
  return {
    ...applyTransitions(changes),
    ...machineTransitions(changes),
    ...installedTransitions(changes),
    ...workflowTransitions(changes),
    ...attemptTransitions(changes),
    ...clusterTransitions(changes),
    ...nodeTransitions(changes),
    ...imageTransitions(changes),
  };
}
