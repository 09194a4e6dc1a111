import type { JsonObject } from '../manifests/hardware-kind.ts';

/** Every name that the event log (and the server's own log) may carry, with what it means. */
export const EVENT_NAMES = {
  'hardware.applied': 'a Hardware was created or changed',
  'hardware.deleted': 'a Hardware was deleted',
  'hardware.inventory': 'a machine reported what it is made of',
  'hardware.released': 'a Hardware gave up its user data and its place in a cluster',
  'hardware.netboot': 'network boot was switched on or off for a machine',
  'template.applied': 'a Template was created or changed',
  'template.deleted': 'a Template was deleted',
  'machine.discovered': 'a machine was seen on the network for the first time; an unknown one became a Hardware',
  'machine.booting': 'a machine fetched its boot script',
  'machine.enrolled': 'an agent proved which machine it is',
  'machine.provisioning': 'a machine began to run a workflow',
  'machine.installed': 'a machine finished its workflow',
  'machine.failed': 'a machine failed',
  'machine.retired': 'a machine was taken out of service',
  'machine.wiped': 'a machine’s disks were emptied: it holds no system',
  'machine.ready': 'the installed system is up: it asked for its metadata, phoned home, or needs to do neither',
  'machine.phonedHome': 'the installed system called at the end of its first start',
  'machine.bootstrapFailed': 'the installed system said that its first start failed',
  'userData.fetched': 'the installed system was given its user data',
  'metadata.refused': 'somebody with another MAC asked for a machine’s metadata from its address',
  'userData.withheld': 'user data that holds keys was fetched before and is not given out any more',
  'agent.connected': 'an agent opened its stream',
  'agent.disconnected': 'an agent’s stream ended',
  'enroll.refused': 'an agent showed a token that is unknown, used, expired or for another machine',
  'workflow.created': 'a workflow was created and rendered',
  'workflow.waitsForImage': 'a workflow waits until an image that it names by its URL is in the library',
  'workflow.imageProgress': 'the import that a workflow waits for moved on (live only, never stored)',
  'workflow.imageReady': 'it is known where a workflow gets an image from that it names by its URL',
  'workflow.started': 'an attempt of a workflow was accepted by an agent',
  'workflow.advanced': 'a task of a workflow ended and its next one waits for its machine',
  'workflow.lost': 'the agent of a running workflow went away',
  'workflow.succeeded': 'a workflow succeeded',
  'workflow.failed': 'a workflow failed',
  'workflow.timedOut': 'a workflow took longer than its global timeout',
  'workflow.cancelled': 'a workflow was cancelled',
  'workflow.retried': 'a workflow begins again: an operator asked for it, or its agent was lost (automatic)',
  'workflow.deleted': 'a workflow was deleted',
  'cluster.created': 'a cluster was created',
  'cluster.changed': 'a cluster got another definition, or is to be made whole again',
  'cluster.ready': 'every node of a cluster is as wanted',
  'cluster.blocked': 'a cluster cannot go on by itself, and says why',
  'cluster.resumed': 'a blocked cluster goes on',
  'cluster.deleting': 'a cluster gives up its nodes',
  'cluster.deleted': 'a cluster and its secrets are gone',
  'node.claimed': 'a machine became a node of a cluster',
  'node.provisioning': 'the installation of a node was ordered',
  'node.installed': 'the system of a node is on its disk',
  'node.ready': 'a node of a cluster is up',
  'node.failed': 'the installation of a node failed',
  'node.waiting': 'a node waits for something that only its note tells',
  'node.releasing': 'a node leaves its cluster',
  'node.released': 'a machine is no node any more; its user data is gone',
  'image.added': 'an image was imported into the library',
  'image.failed': 'an import into the library ended without an image',
  'image.removed': 'an image was taken out of the library',
  'action.started': 'an action began on a machine',
  'action.progress': 'an action moved on (live only, never stored)',
  'action.finished': 'an action ended, with its state',
  'action.log': 'an action printed lines (live only; the lines are in the log table)',
} as const;

export type EventName = keyof typeof EVENT_NAMES;

export interface TinsmithEvent {
  /** Ascending, without gaps that matter; 0 for live-only events. */
  readonly id: number;
  readonly at: Date;
  readonly name: EventName;
  readonly hardware?: string;
  readonly workflow?: string;
  /** Who caused it: `operator`, `agent`, `machine` or `server`. */
  readonly actor: Actor;
  /** Address it came from, if any. */
  readonly from?: string;
  /** Facts, never secrets. */
  readonly data: JsonObject;
}

export type Actor = 'operator' | 'agent' | 'machine' | 'server';
