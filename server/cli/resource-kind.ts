import { TinsmithError } from '#proto/errors.ts';
import type { ClusterView, NodeView } from '../api/cluster-types.ts';
import type { HardwareView, TemplateView, WorkflowView } from '../api/types.ts';
import { importWaitText, missingImageText } from './import-wait.ts';
import { namedPath } from './named-path.ts';
import { standstillText } from './progress-bar.ts';
import { ageText, amountText, sizeText } from './quantity-text.ts';
import type { Column } from './record-output.ts';
import { didYouMean } from './suggest.ts';

export type KindName = 'hardware' | 'template' | 'workflow' | 'cluster' | 'node' | 'event';

/** Every spelling of a kind that the command line takes. */
const SPELLINGS: Readonly<Record<string, KindName>> = {
  hardware: 'hardware',
  hw: 'hardware',
  templates: 'template',
  template: 'template',
  tmpl: 'template',
  workflows: 'workflow',
  workflow: 'workflow',
  wf: 'workflow',
  clusters: 'cluster',
  cluster: 'cluster',
  cl: 'cluster',
  nodes: 'node',
  node: 'node',
  no: 'node',
  events: 'event',
  event: 'event',
  ev: 'event',
};

/** Folder of a kind's records in the API. */
export const KIND_PATHS: Readonly<Record<KindName, string>> = {
  hardware: '/hardware',
  template: '/templates',
  workflow: '/workflows',
  cluster: '/clusters',
  node: '/clusters',
  event: '/events',
};

/** @throws TinsmithError `usage` with the closest kind, when `text` is none of those allowed. */
export function kindOf(text: string, allowed: readonly KindName[]): KindName {
  const kind = Object.hasOwn(SPELLINGS, text.toLowerCase()) ? SPELLINGS[text.toLowerCase()] : undefined;
  if (kind !== undefined && allowed.includes(kind)) return kind;
  const known = Object.keys(SPELLINGS).filter((spelling) => allowed.includes(SPELLINGS[spelling] ?? 'event'));
  throw new TinsmithError(
    'usage',
    `"${text}" is no kind of record here${didYouMean(text, known)}: use one of ${known.join(', ')}`,
  );
}

/** Path of one record. */
export function recordPath(kind: KindName, name: string): string {
  return namedPath(KIND_PATHS[kind], name);
}

export function hardwareColumns(now: Date): readonly Column<HardwareView>[] {
  return [
    { title: 'NAME', text: ({ name }) => name },
    {
      title: 'STAGE',
      text: ({ stage, readyAt }) => (stage === 'installed' && readyAt !== undefined ? 'installed, up' : stage),
    },
    { title: 'SINCE', text: ({ stageAt }) => age(stageAt, now) },
    { title: 'MAC', text: (hardware) => firstDhcp(hardware)?.mac ?? '' },
    { title: 'ADDRESS', text: (hardware) => firstDhcp(hardware)?.ip?.address ?? '' },
    { title: 'NETBOOT', text: ({ netboot }) => (netboot ? 'on' : 'off') },
    { title: 'CLUSTER', text: ({ claim }) => (claim === undefined ? '' : `${claim.cluster}/${claim.group}`) },
    { title: 'LABELS', isWide: true, text: ({ labels }) => labelsText(labels) },
    { title: 'MACHINE', isWide: true, text: machineText },
    { title: 'SEEN', isWide: true, text: ({ lastSeenAt }) => (lastSeenAt === undefined ? '' : age(lastSeenAt, now)) },
    { title: 'FAILURE', isWide: true, text: ({ failure }) => failure ?? '' },
  ];
}

export function templateColumns(now: Date): readonly Column<TemplateView>[] {
  return [
    { title: 'NAME', text: ({ name }) => name },
    { title: 'KIND', text: ({ source }) => source },
    { title: 'SIZE', text: ({ data }) => sizeText(Buffer.byteLength(data)) },
    { title: 'AGE', text: ({ createdAt }) => age(createdAt, now) },
    { title: 'LABELS', isWide: true, text: ({ labels }) => labelsText(labels) },
  ];
}

export function workflowColumns(now: Date): readonly Column<WorkflowView>[] {
  return [
    { title: 'NAME', text: ({ name }) => name },
    { title: 'STATE', text: ({ state }) => state },
    { title: 'HARDWARE', text: ({ hardware }) => hardware.join(',') },
    { title: 'ACTION', text: actionText },
    { title: 'ATTEMPT', text: ({ attempt }) => String(attempt) },
    { title: 'TOOK', text: (workflow) => tookText(workflow, now) },
    { title: 'AGE', text: ({ createdAt }) => age(createdAt, now) },
    { title: 'TEMPLATE', isWide: true, text: templateOf },
    {
      title: 'ERROR',
      isWide: true,
      text: ({ error }) => (error === undefined ? '' : `${error.code}: ${error.message}`),
    },
  ];
}

export function clusterColumns(now: Date): readonly Column<ClusterView>[] {
  return [
    { title: 'NAME', text: ({ name }) => name },
    { title: 'STATE', text: ({ state }) => state },
    {
      title: 'NODES',
      text: ({ groups }) => `${sum(groups.map(({ ready }) => ready))}/${sum(groups.map(({ count }) => count))}`,
    },
    { title: 'KUBERNETES', text: ({ kubernetesVersion }) => kubernetesVersion },
    { title: 'ENDPOINT', text: ({ endpoint }) => endpoint },
    { title: 'AGE', text: ({ createdAt }) => age(createdAt, now) },
    { title: 'WAITS FOR', text: waitsText },
    { title: 'BOOTSTRAPPER', isWide: true, text: ({ bootstrapper }) => bootstrapper },
  ];
}

/** A node, and the cluster that it is in. */
export interface NodeOfCluster extends NodeView {
  readonly cluster: string;
}

export function nodeColumns(now: Date): readonly Column<NodeOfCluster>[] {
  return [
    { title: 'NAME', text: ({ hardware }) => hardware },
    { title: 'CLUSTER', text: ({ cluster }) => cluster },
    { title: 'GROUP', text: ({ group }) => group },
    { title: 'STATE', text: ({ state }) => state },
    { title: 'SINCE', text: ({ stateAt }) => age(stateAt, now) },
    { title: 'ADDRESS', text: ({ address }) => address ?? '' },
    { title: 'DOES', text: nodeActivity },
    { title: 'MAC', isWide: true, text: ({ mac }) => mac ?? '' },
    { title: 'MACHINE', isWide: true, text: ({ stage }) => stage },
    { title: 'REVISION', isWide: true, text: ({ revision, isCurrent }) => `${revision}${isCurrent ? '' : ' (old)'}` },
  ];
}

function waitsText({ failure, nodes }: ClusterView): string {
  const waiting = nodes.find(({ waits }) => waits?.forOperator === true);
  return failure ?? waiting?.waits?.text ?? '';
}

/** What a node does or waits for, in one line. */
export function nodeActivity({ workflow, waits }: NodeView): string {
  if (workflow?.current !== undefined) return `${workflow.done + 1}/${workflow.actions} ${workflow.current.name}`;
  return waits?.text ?? '';
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

interface DhcpFacts {
  readonly mac?: string;
  readonly hostname?: string;
  readonly ip?: { readonly address?: string; readonly netmask?: string; readonly gateway?: string };
}

/** DHCP part of every interface; the spec is free form in the API, but passed the manifest's schema on its way in. */
export function dhcpOf(hardware: HardwareView): readonly DhcpFacts[] {
  const interfaces = hardware.spec['interfaces'];
  if (!Array.isArray(interfaces)) return [];
  return interfaces.flatMap((entry: { readonly dhcp?: DhcpFacts }) => (entry.dhcp === undefined ? [] : [entry.dhcp]));
}

function firstDhcp(hardware: HardwareView): DhcpFacts | undefined {
  return dhcpOf(hardware)[0];
}

export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function machineText({ inventory }: HardwareView): string {
  if (inventory === undefined) return '';
  const disks = inventory.disks.map(({ sizeBytes }) => sizeText(sizeBytes)).join(' + ');
  const maker = [inventory.system.manufacturer, inventory.system.product]
    .filter((text) => text !== undefined)
    .join(' ');
  return [maker, `${inventory.cpu.threads} CPU`, amountText(inventory.memoryBytes, 'bytes'), disks]
    .filter((text) => text !== '')
    .join(', ');
}

/** `3/5 stream image`: the action that runs, or ran last, and why nothing is done; or the import that it waits for, or the image that is missing. */
export function actionText({
  actions,
  imports = [],
  missingImages = [],
  nearestImages = {},
  state,
}: WorkflowView): string {
  const [waited] = imports;
  if (waited !== undefined) return importWaitText(waited);
  const [missing] = missingImages;
  // Of a failed one it is more to know where it failed.
  if (missing !== undefined && !['running', 'failed'].includes(state))
    return missingImageText(missing, nearestImages[missing]);
  if (actions.length === 0) return '';
  const begun = actions.filter(({ startedAt }) => startedAt !== undefined);
  const current = begun.findLast(({ state }) => state !== 'succeeded') ?? begun.at(-1);
  if (current === undefined) return `0/${actions.length}`;
  const still = current.progress === undefined ? undefined : standstillText(current.progress);
  const step = `${actions.indexOf(current) + 1}/${actions.length} ${current.name}`;
  return still === undefined ? step : `${step}, ${still}`;
}

/** Name of the template that it was rendered from. */
export function templateOf({ spec }: WorkflowView): string {
  return typeof spec['templateRef'] === 'string' ? spec['templateRef'] : '';
}

function tookText({ startedAt, finishedAt }: WorkflowView, now: Date): string {
  if (startedAt === undefined) return '';
  return ageText((finishedAt === undefined ? now : new Date(finishedAt)).getTime() - Date.parse(startedAt));
}

function age(iso: string, now: Date): string {
  return ageText(now.getTime() - Date.parse(iso));
}
