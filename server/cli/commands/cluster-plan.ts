import type { ClusterPlan } from '../../api/cluster-types.ts';
import { API_OPTIONS } from '../api-options.ts';
import { CLUSTER_OPTIONS, clusterOptionsOf, HARDWARE_OPTION, IP_CHECK_OPTION } from '../cluster-option-flags.ts';
import { clusterPlanLines } from '../cluster-plan-lines.ts';
import type { Command } from '../command.ts';
import { FILENAME_OPTION, readManifestFiles } from '../manifest-files.ts';
import { problemLine } from '../problem-lines.ts';
import { printDocument } from '../record-output.ts';

export const clusterPlanCommand: Command = {
  name: 'cluster plan',
  arguments: '-f FILE',
  takes: [0, 0],
  summary: 'Show what would be done for a cluster: machines and why, disks, actions, addresses. Changes nothing.',
  options: {
    ...FILENAME_OPTION,
    ...HARDWARE_OPTION,
    ...IP_CHECK_OPTION,
    ...CLUSTER_OPTIONS,
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['table', 'json', 'yaml'],
      summary: 'How to print.',
    },
    ...API_OPTIONS,
  },
  examples: [
    'tinsmith cluster plan -f cluster.yaml --hardware hardware.csv',
    'tinsmith cluster plan -f cluster.yaml --skip-ip-check -o json',
  ],
  async run(context, input) {
    const { api, out } = context;
    const files = await readManifestFiles(context, input);
    const body = { files, options: clusterOptionsOf(input), skipIpCheck: input.has('skip-ip-check') };
    const plan = await api.send<ClusterPlan>('POST', '/clusters/plan', body);
    const format = input.text('output');
    if (format === 'json' || format === 'yaml') {
      printDocument(out, format, plan);
      return 0;
    }
    for (const line of clusterPlanLines(out, plan)) out.line(line);
    out.line('');
    out.line('Nothing was changed.');
    for (const warning of plan.warnings) out.note(`warning: ${problemLine(warning)}`);
    return 0;
  },
};
