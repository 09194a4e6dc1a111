import { TinsmithError } from '#proto/errors.ts';
import type { ClusterChangeAnswer, ClusterDeleteAnswer } from '../../api/cluster-types.ts';
import { API_OPTIONS } from '../api-options.ts';
import {
  CLUSTER_OPTIONS,
  clusterOptionsOf,
  LEAVING_OPTIONS,
  WAIT_OPTION,
  wholeNumber,
  YES_OPTION,
} from '../cluster-option-flags.ts';
import type { Command, CommandContext, CommandInput } from '../command.ts';
import { confirmed } from '../confirm.ts';
import { clusterPath, followCluster } from '../follow-cluster.ts';
import { FILENAME_OPTION, readManifestFiles } from '../manifest-files.ts';
import { problemLine } from '../problem-lines.ts';
import { printable } from '../terminal.ts';

export const clusterScaleCommand: Command = {
  name: 'cluster scale',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Change how many nodes a cluster has; the newest leave first.',
  options: {
    'control-plane': {
      type: 'string',
      value: 'COUNT',
      summary: 'Nodes of the control plane, an odd number: 1, 3 or 5.',
    },
    workers: { type: 'string', multiple: true, value: 'GROUP=COUNT', summary: 'Nodes of a worker group; repeat it.' },
    ...FILENAME_OPTION,
    ...LEAVING_OPTIONS,
    ...CLUSTER_OPTIONS,
    ...YES_OPTION,
    ...WAIT_OPTION,
    ...API_OPTIONS,
  },
  examples: ['tinsmith cluster scale mgmt --workers md-0=3', 'tinsmith cluster scale mgmt -f cluster.yaml -f new.csv'],
  async run(context, input) {
    const controlPlane = input.text('control-plane');
    const workers = workersOf(input);
    const files = input.texts('filename').length === 0 ? {} : { files: await readManifestFiles(context, input) };
    const body = {
      ...files,
      ...(controlPlane === undefined ? {} : { controlPlane: wholeNumber('--control-plane', controlPlane, 1) }),
      ...(workers === undefined ? {} : { workers }),
    };
    if (Object.keys(body).length === 0) {
      throw new TinsmithError('usage', 'say how many: --control-plane COUNT, --workers GROUP=COUNT or -f FILE');
    }
    return change(context, input, { verb: 'scale', body });
  },
};

export const clusterUpgradeCommand: Command = {
  name: 'cluster upgrade',
  arguments: 'NAME -f FILE',
  takes: [1, 1],
  summary: 'Make the nodes of a cluster anew from a changed file: with spare machines, or each on its own machine.',
  options: {
    ...FILENAME_OPTION,
    ...LEAVING_OPTIONS,
    'lose-state': {
      type: 'boolean',
      summary:
        'A control plane of one machine may be made anew on it, which loses everything that the cluster remembers.',
    },
    ...CLUSTER_OPTIONS,
    ...YES_OPTION,
    ...WAIT_OPTION,
    ...API_OPTIONS,
  },
  examples: ['tinsmith cluster upgrade mgmt -f cluster.yaml -f spares.csv'],
  async run(context, input) {
    return change(context, input, { verb: 'upgrade', body: { files: await readManifestFiles(context, input) } });
  },
};

async function change(
  context: CommandContext,
  input: CommandInput,
  { verb, body }: { readonly verb: 'scale' | 'upgrade'; readonly body: object },
): Promise<number> {
  const { api, out } = context;
  const [name = ''] = input.positionals;
  const path = `${clusterPath(name)}/${verb}`;
  const request = { ...body, options: clusterOptionsOf(input) };
  const foreseen = await api.send<ClusterChangeAnswer>('POST', path, { ...request, dryRun: true });
  for (const warning of foreseen.warnings) out.note(`warning: ${problemLine(warning)}`);
  for (const step of foreseen.steps) out.line(printable(step));
  if (foreseen.outcome === 'unchanged') {
    out.line(`cluster/${name} unchanged`);
    return 0;
  }
  const disks = input.has('no-wipe')
    ? 'Disks of machines that join are erased, those of machines that leave stay as they are.'
    : 'Disks of machines that join or leave are erased.';
  await confirmed(context, input, `Change cluster ${name}? ${disks}`);
  const answer = await api.send<ClusterChangeAnswer>('POST', path, request);
  out.line(`cluster/${name} ${answer.outcome}`);
  if (input.has('no-wait')) return 0;
  const code = await followCluster(context, name, 'ready');
  out.line(`cluster/${name} ready`);
  return code;
}

function workersOf(input: CommandInput): Readonly<Record<string, number>> | undefined {
  const texts = input.texts('workers');
  if (texts.length === 0) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const [, group, count] = /^(.+)=(.*)$/.exec(text) ?? [];
      if (group === undefined || count === undefined) {
        throw new TinsmithError('usage', `--workers is "${text}": use GROUP=COUNT, md-0=3`);
      }
      return [group, wholeNumber('--workers', count, 0)];
    }),
  );
}

export const clusterDeleteCommand: Command = {
  name: 'cluster delete',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Delete a cluster: workers first, then its control plane; disks are erased, secrets and user data dropped.',
  options: {
    'no-wipe': { type: 'boolean', summary: 'Leave the disks as they are: their systems go on running.' },
    ...YES_OPTION,
    ...WAIT_OPTION,
    ...API_OPTIONS,
  },
  examples: ['tinsmith cluster delete mgmt', 'tinsmith cluster delete mgmt --no-wipe --yes'],
  async run(context, input) {
    const { api, out } = context;
    const [name = ''] = input.positionals;
    const wipe = !input.has('no-wipe');
    const path = `${clusterPath(name)}?wipe=${wipe}`;
    const { steps } = await api.send<ClusterDeleteAnswer>('DELETE', `${path}&dryRun=true`);
    for (const step of steps) out.line(printable(step));
    const what = wipe ? 'The disks of its machines are erased.' : 'The disks of its machines stay as they are.';
    await confirmed(context, input, `Delete cluster ${name}? ${what}`);
    await api.send('DELETE', path);
    if (input.has('no-wait')) {
      out.line(`cluster/${name} is being deleted`);
      return 0;
    }
    const code = await followCluster(context, name, 'gone');
    out.line(`cluster/${name} deleted`);
    return code;
  },
};
