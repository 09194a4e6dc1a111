import type { ClusterView } from '../../api/cluster-types.ts';
import type { ListOf } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import { clusterEvents } from '../cluster-events.ts';
import type { Command } from '../command.ts';
import { describeCluster } from '../describe-cluster.ts';
import { clusterPath, followCluster } from '../follow-cluster.ts';
import { OUTPUT_OPTION, outputFormat, printDocument, printTable } from '../record-output.ts';
import { clusterColumns } from '../resource-kind.ts';
import { printable } from '../terminal.ts';

export const clusterListCommand: Command = {
  name: 'cluster list',
  arguments: '',
  takes: [0, 0],
  summary: 'List clusters: how many of their nodes are ready, and what they wait for.',
  options: { ...OUTPUT_OPTION, ...API_OPTIONS },
  examples: ['tinsmith cluster list', 'tinsmith cluster list -o json'],
  async run({ api, out, now }, input) {
    const { items } = await api.get<ListOf<ClusterView>>('/clusters');
    const format = outputFormat(input.text('output'));
    if (format === 'json' || format === 'yaml') printDocument(out, format, { items });
    else if (format === 'name') for (const { name } of items) out.line(`cluster/${name}`);
    else if (items.length === 0) out.note('no clusters found');
    else printTable(out, clusterColumns(now()), items, format);
    return 0;
  },
};

export const clusterDescribeCommand: Command = {
  name: 'cluster describe',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Show everything about one cluster: its groups, its nodes and what each of them waits for.',
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
  examples: ['tinsmith cluster describe mgmt'],
  async run(context, input) {
    const [name = ''] = input.positionals;
    const cluster = await context.api.get<ClusterView>(clusterPath(name));
    const events = await clusterEvents(context, cluster);
    const format = input.text('output');
    if (format === 'json' || format === 'yaml') printDocument(context.out, format, { cluster, events });
    else for (const line of describeCluster(cluster, events, context.now())) context.out.line(printable(line));
    return 0;
  },
};

export const clusterWatchCommand: Command = {
  name: 'cluster watch',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Show a cluster live until it is ready; it goes on without being watched.',
  options: API_OPTIONS,
  examples: ['tinsmith cluster watch mgmt'],
  async run(context, input) {
    const [name = ''] = input.positionals;
    const { state } = await context.api.get<ClusterView>(clusterPath(name));
    const code = await followCluster(context, name, state === 'deleting' ? 'gone' : 'ready');
    context.out.line(`cluster/${name} ${state === 'deleting' ? 'deleted' : 'ready'}`);
    return code;
  },
};

export const clusterResumeCommand: Command = {
  name: 'cluster resume',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Let a blocked cluster go on: failed machines are tried again, released ones may be chosen again.',
  options: API_OPTIONS,
  examples: ['tinsmith cluster resume mgmt'],
  async run({ api, out }, input) {
    const [name = ''] = input.positionals;
    const cluster = await api.send<ClusterView>('POST', `${clusterPath(name)}/resume`);
    out.line(`cluster/${cluster.name} ${cluster.state}`);
    return 0;
  },
};

export const clusterKubeconfigCommand: Command = {
  name: 'cluster kubeconfig',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Print the administrator’s kubeconfig of a cluster. It is a secret: it holds a key to everything in it.',
  options: API_OPTIONS,
  examples: ['(umask 077; tinsmith cluster kubeconfig mgmt > mgmt.kubeconfig)'],
  async run({ api, out }, input) {
    const [name = ''] = input.positionals;
    const { kubeconfig } = await api.get<{ readonly kubeconfig: string }>(`${clusterPath(name)}/kubeconfig`);
    out.raw(kubeconfig);
    return 0;
  },
};
