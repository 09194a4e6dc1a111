import { TinsmithError } from '#proto/errors.ts';
import type { ClusterCreateAnswer, ClusterPlan } from '../../api/cluster-types.ts';
import { API_OPTIONS } from '../api-options.ts';
import {
  CLUSTER_OPTIONS,
  clusterOptionsOf,
  HARDWARE_OPTION,
  IP_CHECK_OPTION,
  WAIT_OPTION,
  YES_OPTION,
} from '../cluster-option-flags.ts';
import { clusterPlanLines } from '../cluster-plan-lines.ts';
import type { Command } from '../command.ts';
import { confirmed } from '../confirm.ts';
import { followCluster } from '../follow-cluster.ts';
import { FILENAME_OPTION, readManifestFiles } from '../manifest-files.ts';
import { problemLine } from '../problem-lines.ts';

export const clusterCreateCommand: Command = {
  name: 'cluster create',
  arguments: '-f FILE',
  takes: [0, 0],
  summary: 'Make the machines of a cluster: control plane first, then workers. The same files again: go on watching.',
  options: {
    ...FILENAME_OPTION,
    ...HARDWARE_OPTION,
    ...IP_CHECK_OPTION,
    ...CLUSTER_OPTIONS,
    ...YES_OPTION,
    ...WAIT_OPTION,
    ...API_OPTIONS,
  },
  examples: [
    'tinsmith cluster create -f cluster.yaml --hardware hardware.csv',
    'tinsmith cluster create -f site/ --on-failure stop --yes --no-wait',
  ],
  async run(context, input) {
    const { api, out } = context;
    const files = await readManifestFiles(context, input);
    const body = { files, options: clusterOptionsOf(input), skipIpCheck: input.has('skip-ip-check') };
    const before = await api.send<ClusterCreateAnswer>('POST', '/clusters', { ...body, dryRun: true });
    for (const warning of before.warnings) out.note(`warning: ${problemLine(warning)}`);
    // Whoever comes back to a cluster that is there erases nothing.
    if (before.outcome === 'created') {
      const plan = await api.send<ClusterPlan>('POST', '/clusters/plan', body);
      for (const line of clusterPlanLines(out, plan)) out.line(line);
      await confirmed(context, input, `Create cluster ${plan.cluster}? The disks named above are erased.`);
    }
    const { outcome, cluster } = await api.send<ClusterCreateAnswer>('POST', '/clusters', body);
    if (cluster === undefined) throw new TinsmithError('internal', 'the server created a cluster and did not show it');
    out.line(`cluster/${cluster.name} ${outcome === 'created' ? 'created' : `is there: ${cluster.state}`}`);
    if (input.has('no-wait')) return 0;
    const code = await followCluster(context, cluster.name, 'ready');
    out.line(`cluster/${cluster.name} ready`);
    return code;
  },
};
