import type { WorkflowView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command } from '../command.ts';
import { recordPath } from '../resource-kind.ts';

export const workflowCancelCommand: Command = {
  name: 'workflow cancel',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Cancel a workflow that is not finished.',
  options: {
    reason: { type: 'string', value: 'TEXT', summary: 'Kept with the workflow and its event.' },
    ...API_OPTIONS,
  },
  examples: ['tinsmith workflow cancel node-1', 'tinsmith workflow cancel node-1 --reason "wrong disk"'],
  async run({ api, out }, input) {
    const [name = ''] = input.positionals;
    const reason = input.text('reason');
    const path = `${recordPath('workflow', name)}/cancel`;
    const workflow = await api.send<WorkflowView>('POST', path, reason === undefined ? {} : { reason });
    out.line(`workflow/${workflow.name} ${workflow.state}`);
    return 0;
  },
};

export const workflowRetryCommand: Command = {
  name: 'workflow retry',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Start a failed, timed-out or cancelled workflow again from its first action.',
  options: API_OPTIONS,
  examples: ['tinsmith workflow retry node-1'],
  async run({ api, out }, input) {
    const [name = ''] = input.positionals;
    const workflow = await api.send<WorkflowView>('POST', `${recordPath('workflow', name)}/retry`);
    out.line(`workflow/${workflow.name} ${workflow.state}, attempt ${workflow.attempt}`);
    return 0;
  },
};
