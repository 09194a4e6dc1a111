import type { EventView } from '../api/types.ts';
import { progressOf, standstillText } from './progress-bar.ts';
import { amountText, clockText, durationText, sizeText } from './quantity-text.ts';
import { printable, type Style } from './terminal.ts';

type Paint = (this: void, style: Style, text: string) => string;

const SUBJECT_WIDTH = 16;

/**
 * One line for people: time (UTC), machine or workflow, what happened. Used by `watch`, `get events` and whoever shows events.
 * `paint` is left out where colours make no sense.
 */
export function eventLine(event: EventView, paint: Paint = (_style, text) => text): string {
  const subject = event.hardware ?? event.workflow ?? fact(event, 'cluster', 'server');
  const told = Object.hasOwn(SENTENCES, event.name) ? SENTENCES[event.name](event) : event.name;
  const text = oneLine(told);
  const style = styleOf(event);
  return `${paint('dim', clockText(event.at))}  ${paint('bold', oneLine(subject).padEnd(SUBJECT_WIDTH))}  ${style === undefined ? text : paint(style, text)}`;
}

function oneLine(text: string): string {
  return printable(text).replaceAll('\n', ' ');
}

function styleOf(event: EventView): Style | undefined {
  if (/\.(failed|bootstrapFailed|timedOut|lost|refused|cancelled|blocked)$/.test(event.name)) return 'red';
  if (/\.(installed|succeeded|ready)$/.test(event.name)) return 'green';
  if (event.name === 'action.finished') return event.data['state'] === 'succeeded' ? undefined : 'red';
  return event.name.startsWith('machine.') ? 'blue' : undefined;
}

const READY_BY: Readonly<Record<string, string>> = {
  metadata: 'asked for its metadata',
  phoneHome: 'phoned home',
  installed: 'is on its disk',
};

const IMAGE_FROM: Readonly<Record<string, string>> = {
  library: 'from the library',
  machine: 'from its URL: the machine fetches it itself',
};

/** A sentence for every event; a name without one does not compile. */
const SENTENCES: Readonly<Record<EventView['name'], (event: EventView) => string>> = {
  'hardware.applied': (event) => `hardware ${fact(event, 'outcome', 'applied')}`,
  'hardware.deleted': () => 'hardware deleted',
  'hardware.inventory': ({ data }) => {
    const memory = typeof data['memoryBytes'] === 'number' ? `, ${sizeText(data['memoryBytes'])} memory` : '';
    return `inventory: ${fact({ data }, 'cpuThreads', '?')} CPUs${memory}, ${fact({ data }, 'disks', '?')} disks`;
  },
  'hardware.netboot': ({ data }) => `network boot ${data['netboot'] === false ? 'off' : 'on'}`,
  'template.applied': (event) => `template ${fact(event, 'template', '')} ${fact(event, 'outcome', 'applied')}`,
  'template.deleted': (event) => `template ${fact(event, 'template', '')} deleted`,
  'image.added': (event) => `image ${fact(event, 'image', '')} added to the library${warning(event)}`,
  'image.failed': (event) => `image ${fact(event, 'image', '')} not imported${reason(event)}`,
  'image.removed': (event) => `image ${fact(event, 'image', '')} removed from the library`,
  'machine.discovered': (event) => `discovered${origin(event)}`,
  'machine.booting': (event) => `booting: fetched its boot script${origin(event)}`,
  'machine.enrolled': (event) => `enrolled: the agent proved which machine it is${origin(event)}`,
  'machine.provisioning': (event) => `provisioning${workflowOf(event)}`,
  'machine.installed': (event) => `installed${workflowOf(event)}`,
  'machine.failed': (event) => `failed${reason(event)}`,
  'machine.retired': () => 'retired',
  'machine.ready': (event) =>
    `up: the installed system ${READY_BY[fact(event, 'by', '')] ?? 'showed itself'}${origin(event)}`,
  'machine.phonedHome': (event) => `phoned home${origin(event)}`,
  'machine.bootstrapFailed': (event) => `its first start failed${reason(event)}`,
  'userData.fetched': (event) => `fetched its user data${origin(event)}`,
  'metadata.refused': (event) => `metadata refused to ${fact(event, 'mac', 'another MAC')}${origin(event)}`,
  'userData.withheld': (event) => `its user data is not given out again${origin(event)}`,
  'agent.connected': (event) => `agent connected${origin(event)}`,
  'agent.disconnected': () => 'agent disconnected',
  'enroll.refused': (event) => `enrollment refused${origin(event)}${reason(event)}`,
  'workflow.created': (event) => `workflow ${event.workflow ?? ''} created`,
  'workflow.advanced': (event) => `workflow ${event.workflow ?? ''} goes on with its next task`,
  'workflow.started': (event) => `workflow ${event.workflow ?? ''} started${attempt(event)}`,
  'workflow.waitsForImage': (event) =>
    `workflow ${event.workflow ?? ''} waits for the import of ${fact(event, 'image', 'its image')}`,
  'workflow.imageProgress': (event) => `import of ${fact(event, 'image', 'its image')}: ${progressFacts(event)}`,
  'workflow.imageReady': (event) =>
    `workflow ${event.workflow ?? ''} gets ${fact(event, 'image', 'its image')} ${IMAGE_FROM[fact(event, 'from', '')] ?? 'not at all'}${reason(event)}`,
  'workflow.lost': (event) => `workflow ${event.workflow ?? ''} waits: its agent went away${reason(event)}`,
  'workflow.succeeded': (event) => `workflow ${event.workflow ?? ''} succeeded${took(event)}`,
  'workflow.failed': (event) => `workflow ${event.workflow ?? ''} failed${reason(event)}`,
  'workflow.timedOut': (event) => `workflow ${event.workflow ?? ''} timed out${reason(event)}`,
  'workflow.cancelled': (event) => `workflow ${event.workflow ?? ''} cancelled${reason(event)}`,
  'workflow.retried': (event) => `workflow ${event.workflow ?? ''} starts again${attempt(event)}`,
  'workflow.deleted': (event) => `workflow ${event.workflow ?? ''} deleted`,
  'machine.wiped': (event) => `wiped${workflowOf(event)}: it holds no system`,
  'hardware.released': () => 'released: its user data is gone',
  'cluster.created': (event) => `cluster ${clusterOf(event)} created`,
  'cluster.changed': (event) => `cluster ${clusterOf(event)} is being changed`,
  'cluster.ready': (event) => `cluster ${clusterOf(event)} is ready`,
  'cluster.blocked': (event) => `cluster ${clusterOf(event)} is blocked${reason(event)}`,
  'cluster.resumed': (event) => `cluster ${clusterOf(event)} goes on`,
  'cluster.deleting': (event) => `cluster ${clusterOf(event)} is being deleted`,
  'cluster.deleted': (event) => `cluster ${clusterOf(event)} is gone`,
  'node.claimed': (event) => `claimed for ${nodeOf(event)}`,
  'node.provisioning': (event) => `to be installed for ${nodeOf(event)}`,
  'node.installed': (event) => `installed for ${nodeOf(event)}`,
  'node.ready': (event) => `ready in ${nodeOf(event)}`,
  'node.failed': (event) => `failed for ${nodeOf(event)}${reason(event)}`,
  'node.waiting': (event) => `waits${reason(event)}`,
  'node.releasing': (event) => `leaves ${nodeOf(event)}${reason(event)}`,
  'node.released': (event) => `is no node of ${nodeOf(event)} any more`,
  'action.started': (event) => `action ${actionOf(event)} started`,
  'action.progress': (event) => `action ${actionOf(event)}: ${progressFacts(event)}`,
  'action.finished': (event) =>
    `action ${actionOf(event)} ${fact(event, 'state', 'finished')}${took(event)}${reason(event)}`,
  'action.log': (event) => `action ${actionOf(event)} printed lines`,
};

function fact({ data }: Pick<EventView, 'data'>, name: string, otherwise: string): string {
  const value = data[name];
  return typeof value === 'string' || typeof value === 'number' ? String(value) : otherwise;
}

function warning(event: EventView): string {
  const text = fact(event, 'warning', '');
  return text === '' ? '' : `; warning: ${text}`;
}

function origin({ from, actor }: EventView): string {
  // A machine that asks for its first address has none.
  return from === undefined || from === '0.0.0.0' || actor === 'operator' ? '' : ` (${from})`;
}

function clusterOf(event: EventView): string {
  return fact(event, 'cluster', '');
}

function nodeOf(event: EventView): string {
  return `${clusterOf(event)}, ${fact(event, 'group', '')}`;
}

function workflowOf({ workflow }: EventView): string {
  return workflow === undefined ? '' : ` by workflow ${workflow}`;
}

function attempt({ data }: EventView): string {
  return typeof data['attempt'] === 'number' && data['attempt'] > 1 ? `, attempt ${data['attempt']}` : '';
}

function reason(event: EventView): string {
  const { error } = event.data;
  const message = typeof error === 'object' && error !== null && 'message' in error ? error['message'] : undefined;
  if (typeof message === 'string') return `: ${message}`;
  const text = fact(
    event,
    'message',
    fact(event, 'reason', fact(event, 'failure', typeof error === 'string' ? error : '')),
  );
  return text === '' ? '' : `: ${text}`;
}

function actionOf(event: EventView): string {
  const name = fact(event, 'name', fact(event, 'action', ''));
  return `"${name}"`;
}

function took({ data }: EventView): string {
  return typeof data['durationMs'] === 'number' ? ` after ${durationText(data['durationMs'])}` : '';
}

function progressFacts(event: EventView): string {
  const { data } = event;
  const { done, total, perSecond, unit } = data;
  const word = typeof unit === 'string' ? unit : 'bytes';
  const amount = typeof done === 'number' ? amountText(done, word) : '';
  const whole =
    typeof total === 'number' && typeof done === 'number' && total > 0
      ? ` of ${amountText(total, word)} (${Math.floor((100 * done) / total)} %)`
      : '';
  const rate = typeof perSecond === 'number' && perSecond > 0 ? `, ${amountText(perSecond, word)}/s` : '';
  const progress = progressOf(event);
  const still = progress === undefined ? undefined : standstillText(progress);
  if (still !== undefined) return done === 0 ? still : `${amount}${whole}, ${still}`;
  return `${amount}${whole}${rate}`;
}
