import { TinsmithError } from '#proto/errors.ts';
import type { ClusterView } from '../../api/cluster-types.ts';
import type { ActionRunView, EventView, HardwareView, ListOf, TemplateView, WorkflowView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import { clusterEvents } from '../cluster-events.ts';
import type { Command, CommandContext } from '../command.ts';
import { describeCluster } from '../describe-cluster.ts';
import { describeHardware } from '../describe-hardware.ts';
import { describeNode } from '../describe-node.ts';
import { describeWorkflow } from '../describe-workflow.ts';
import { printDocument } from '../record-output.ts';
import { type KindName, kindOf, labelsText, type NodeOfCluster, recordPath } from '../resource-kind.ts';
import { printable } from '../terminal.ts';

const KINDS: readonly KindName[] = ['hardware', 'template', 'workflow', 'cluster', 'node'];
const RECENT_EVENTS = 15;

export const describeCommand: Command = {
  name: 'describe',
  arguments: 'KIND NAME',
  takes: [2, 2],
  firstArgument: ['hardware', 'template', 'workflow', 'cluster', 'node'],
  summary: 'Show everything about one record; of a workflow also where the time went.',
  options: {
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['table', 'json', 'yaml'],
      summary: 'How to print.',
    },
    ...API_OPTIONS,
  },
  examples: ['tinsmith describe workflow node-1', 'tinsmith describe hw node-1', 'tinsmith describe wf node-1 -o json'],
  async run(context, input) {
    const [word = '', name = ''] = input.positionals;
    const kind = kindOf(word, KINDS);
    const document = await collect(context, kind, name);
    const format = input.text('output');
    if (format === 'json' || format === 'yaml') printDocument(context.out, format, document);
    else for (const line of describe(context, document)) context.out.line(printable(line));
    return 0;
  },
};

/** What is printed, and with `-o json` all of it. */
interface Description {
  readonly hardware?: HardwareView;
  readonly template?: TemplateView;
  readonly workflow?: WorkflowView;
  readonly cluster?: ClusterView;
  readonly node?: NodeOfCluster;
  readonly workflows?: readonly WorkflowView[];
  readonly history?: readonly ActionRunView[];
  readonly events: readonly EventView[];
}

async function collect(context: CommandContext, kind: KindName, name: string): Promise<Description> {
  const { api } = context;
  const path = recordPath(kind, name);
  if (kind === 'cluster') {
    const cluster = await api.get<ClusterView>(path);
    return { cluster, events: await clusterEvents(context, cluster) };
  }
  if (kind === 'node') {
    const events = await api.get<ListOf<EventView>>('/events', { hardware: name, tail: RECENT_EVENTS });
    return { node: await nodeOf(context, name), events: events.items };
  }
  if (kind === 'template') return { template: await api.get<TemplateView>(path), events: [] };
  if (kind === 'hardware') {
    const hardware = await api.get<HardwareView>(path);
    const workflows = await api.get<ListOf<WorkflowView>>('/workflows', { hardware: name });
    const events = await api.get<ListOf<EventView>>('/events', { hardware: name, tail: RECENT_EVENTS });
    return { hardware, workflows: workflows.items, events: events.items };
  }
  const workflow = await api.get<WorkflowView>(path);
  const history = await api.get<ListOf<ActionRunView>>(`${path}/actions`);
  const lists = await Promise.all([
    api.get<ListOf<EventView>>('/events', { workflow: name, tail: 1000 }),
    ...workflow.hardware.map((hardware) => api.get<ListOf<EventView>>('/events', { hardware, tail: 1000 })),
  ]);
  const byId = new Map(lists.flatMap(({ items }) => items).map((event) => [event.id, event]));
  const begun = Date.parse(workflow.createdAt);
  const ended = workflow.finishedAt === undefined ? Number.POSITIVE_INFINITY : Date.parse(workflow.finishedAt);
  // An older workflow may have had its name.
  const events = [...byId.values()]
    .filter(({ at }) => Date.parse(at) >= begun)
    .filter(({ at, workflow: subject }) => subject === name || Date.parse(at) <= ended)
    .toSorted((a, b) => a.id - b.id);
  return { workflow, history: history.items, events };
}

/** A node is found by its machine, which belongs to one cluster at most. */
async function nodeOf({ api }: CommandContext, name: string): Promise<NodeOfCluster> {
  const { claim } = await api.get<HardwareView>(recordPath('hardware', name));
  if (claim !== undefined) {
    const { nodes } = await api.get<ClusterView>(recordPath('cluster', claim.cluster));
    const node = nodes.find(({ hardware }) => hardware === name);
    if (node !== undefined) return { ...node, cluster: claim.cluster };
  }
  throw new TinsmithError('not_found', `Hardware ${name} is no node of a cluster: see tinsmith get nodes`);
}

function describe({ now, out }: CommandContext, document: Description): readonly string[] {
  const { hardware, template, workflow, cluster, node, workflows = [], history = [], events } = document;
  if (hardware !== undefined) return describeHardware(hardware, { workflows, events, now: now() });
  if (workflow !== undefined)
    return describeWorkflow(workflow, { history, events, now: now(), columns: out.columns() });
  if (cluster !== undefined) return describeCluster(cluster, events, now());
  if (node !== undefined) return describeNode(node, events, now());
  if (template === undefined) return [];
  const { name, source, labels, version, createdAt, data } = template;
  return [
    `Template  ${name}`,
    `Kind      ${source}`,
    `Labels    ${labelsText(labels) || '–'}`,
    `Created   ${createdAt} (version ${version})`,
    '',
    ...data.trimEnd().split('\n'),
  ];
}
