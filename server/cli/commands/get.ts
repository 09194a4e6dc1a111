import { TinsmithError } from '#proto/errors.ts';
import type { ClusterView } from '../../api/cluster-types.ts';
import type { EventView, HardwareView, ListOf, TemplateView, WorkflowView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command, CommandContext, CommandInput } from '../command.ts';
import { eventLine } from '../event-line.ts';
import { type Column, OUTPUT_OPTION, outputFormat, printDocument, printTable } from '../record-output.ts';
import {
  clusterColumns,
  hardwareColumns,
  KIND_PATHS,
  type KindName,
  kindOf,
  type NodeOfCluster,
  nodeColumns,
  recordPath,
  templateColumns,
  workflowColumns,
} from '../resource-kind.ts';

const KINDS: readonly KindName[] = ['hardware', 'template', 'workflow', 'cluster', 'node', 'event'];
const DEFAULT_TAIL = 100;

export const getCommand: Command = {
  name: 'get',
  arguments: 'KIND [NAME...]',
  takes: [1, 1000],
  firstArgument: ['hardware', 'templates', 'workflows', 'clusters', 'nodes', 'events'],
  summary: 'List hardware (hw), templates (tmpl), workflows (wf), clusters (cl), nodes (no) or events (ev).',
  options: {
    ...OUTPUT_OPTION,
    selector: {
      type: 'string',
      short: 'l',
      multiple: true,
      value: 'KEY=VALUE',
      summary: 'Only records with this label.',
    },
    tail: { type: 'string', value: 'COUNT', summary: `How many events, counted from the newest (${DEFAULT_TAIL}).` },
    ...API_OPTIONS,
  },
  examples: [
    'tinsmith get hardware',
    'tinsmith get hw -l type=cp -o wide',
    'tinsmith get workflow node-1 -o yaml',
    'tinsmith get events node-1 --tail 20',
  ],
  async run(context, input) {
    const [word = '', ...names] = input.positionals;
    const kind = kindOf(word, KINDS);
    const now = context.now();
    if (kind === 'event') return printEvents(context, input, names);
    if (kind === 'node') return printNodes(context, input, names);
    if (kind === 'hardware') return printRecords(context, input, kind, { names, columns: hardwareColumns(now) });
    if (kind === 'template') return printRecords(context, input, kind, { names, columns: templateColumns(now) });
    if (kind === 'cluster') return printRecords(context, input, kind, { names, columns: clusterColumns(now) });
    return printRecords(context, input, kind, { names, columns: workflowColumns(now) });
  },
};

async function printRecords<Item extends HardwareView | TemplateView | WorkflowView | ClusterView>(
  { api, out }: CommandContext,
  input: CommandInput,
  kind: KindName,
  wanted: { readonly names: readonly string[]; readonly columns: readonly Column<Item>[] },
): Promise<number> {
  const { names, columns } = wanted;
  const label = selectors(input);
  const items =
    names.length === 0
      ? (await api.get<ListOf<Item>>(KIND_PATHS[kind], label.length === 0 ? {} : { label })).items
      : await Promise.all(names.map((name) => api.get<Item>(recordPath(kind, name))));
  const format = outputFormat(input.text('output'));
  if (format === 'json' || format === 'yaml') printDocument(out, format, names.length === 1 ? items[0] : { items });
  else if (format === 'name') for (const { name } of items) out.line(`${kind}/${name}`);
  else if (items.length === 0) out.note(`no ${kind === 'hardware' ? kind : `${kind}s`} found`);
  else printTable(out, columns, items, format);
  return 0;
}

/** Nodes are asked for with their clusters. */
async function printNodes(
  { api, out, now }: CommandContext,
  input: CommandInput,
  names: readonly string[],
): Promise<number> {
  const clusters = (await api.get<ListOf<ClusterView>>(KIND_PATHS.cluster)).items;
  const all = clusters.flatMap(({ name, nodes }) => nodes.map((node): NodeOfCluster => ({ ...node, cluster: name })));
  const unknown = names.find((name) => !all.some(({ hardware }) => hardware === name));
  if (unknown !== undefined) throw new TinsmithError('not_found', `Hardware "${unknown}" is no node of a cluster`);
  const items = names.length === 0 ? all : all.filter(({ hardware }) => names.includes(hardware));
  const format = outputFormat(input.text('output'));
  if (format === 'json' || format === 'yaml') printDocument(out, format, { items });
  else if (format === 'name') for (const { hardware } of items) out.line(`node/${hardware}`);
  else if (items.length === 0) out.note('no nodes found');
  else printTable(out, nodeColumns(now()), items, format);
  return 0;
}

async function printEvents(
  { api, out }: CommandContext,
  input: CommandInput,
  names: readonly string[],
): Promise<number> {
  const tail = tailOf(input);
  const items = names.length === 0 ? await listEvents({}) : await eventsOf(names);
  const format = outputFormat(input.text('output'));
  if (format === 'json' || format === 'yaml') printDocument(out, format, { items });
  else if (format === 'name') for (const { id } of items) out.line(`event/${id}`);
  else for (const event of items) out.line(eventLine(event, out.paint));
  return 0;

  async function listEvents(filter: { readonly hardware?: string; readonly workflow?: string }) {
    return (await api.get<ListOf<EventView>>('/events', { ...filter, tail })).items;
  }

  /** A name may be a machine's and a workflow's: an event of both is shown once. */
  async function eventsOf(subjects: readonly string[]): Promise<readonly EventView[]> {
    const found = await Promise.all(
      subjects.flatMap((name) => [listEvents({ hardware: name }), listEvents({ workflow: name })]),
    );
    const byId = new Map(found.flat().map((event) => [event.id, event]));
    return [...byId.values()].toSorted((a, b) => a.id - b.id).slice(-tail);
  }
}

function tailOf(input: CommandInput): number {
  const text = input.text('tail');
  const tail = text === undefined ? DEFAULT_TAIL : Number(text);
  if (!Number.isInteger(tail) || tail < 1 || tail > 10_000) {
    throw new TinsmithError('usage', `--tail is "${text ?? ''}": use a whole number from 1 to 10000`);
  }
  return tail;
}

function selectors(input: CommandInput): readonly string[] {
  const labels = input.texts('selector').flatMap((text) => text.split(','));
  const wrong = labels.find((label) => !/^[^=]+=/.test(label));
  if (wrong !== undefined) throw new TinsmithError('usage', `the selector "${wrong}" is not KEY=VALUE`);
  return labels;
}
