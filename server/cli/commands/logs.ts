import { TinsmithError } from '#proto/errors.ts';
import type { ListOf, LogLineView, WorkflowView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command, CommandContext } from '../command.ts';
import { clockText } from '../quantity-text.ts';
import { recordPath } from '../resource-kind.ts';
import { printable } from '../terminal.ts';

const PAGE = 1000;

export const logsCommand: Command = {
  name: 'logs',
  arguments: 'WORKFLOW',
  takes: [1, 1],
  summary: 'Print what a workflow’s actions printed.',
  options: {
    follow: { type: 'boolean', short: 'f', summary: 'Go on until the workflow is finished.' },
    attempt: { type: 'string', value: 'NUMBER', summary: 'Only this attempt; default: all of them.' },
    timestamps: { type: 'boolean', short: 't', summary: 'Begin each line with its time (UTC).' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['text', 'json'],
      summary: 'How to print: json is one object a line.',
    },
    ...API_OPTIONS,
  },
  examples: ['tinsmith logs node-1', 'tinsmith logs -f node-1', 'tinsmith logs node-1 --attempt 2 -t'],
  async run(context, input) {
    const [name = ''] = input.positionals;
    const path = recordPath('workflow', name);
    const attempt = attemptOf(input.text('attempt'));
    const print = linePrinter(context, await context.api.get<WorkflowView>(path), {
      asJson: input.text('output') === 'json',
      hasTimes: input.has('timestamps'),
    });
    if (input.has('follow')) {
      for await (const line of context.api.follow<LogLineView>(`${path}/logs/stream`, { attempt, after: 0 }))
        print(line);
      return 0;
    }
    for (let after = 0, more = true; more; ) {
      const { items } = await context.api.get<ListOf<LogLineView>>(`${path}/logs`, { attempt, after, limit: PAGE });
      for (const line of items) print(line);
      after = items.at(-1)?.id ?? after;
      more = items.length === PAGE;
    }
    return 0;
  },
};

function attemptOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const attempt = Number(text);
  if (!Number.isInteger(attempt) || attempt < 1) {
    throw new TinsmithError('usage', `--attempt is "${text}": use a whole number of 1 or more`);
  }
  return attempt;
}

/** Prints a heading whenever the action or attempt changes, then the lines as they are. */
function linePrinter(
  { out }: CommandContext,
  workflow: WorkflowView,
  { asJson, hasTimes }: { readonly asJson: boolean; readonly hasTimes: boolean },
): (line: LogLineView) => void {
  let current = '';
  return (line) => {
    if (asJson) {
      out.line(JSON.stringify(line));
      return;
    }
    const heading = `${line.attempt}/${line.task}/${line.action}`;
    if (heading !== current) {
      current = heading;
      const action = workflow.tasks?.[line.task]?.actions[line.action]?.name ?? `action ${line.action + 1}`;
      out.line(out.paint('bold', printable(`== ${action} (attempt ${line.attempt}) ==`)));
    }
    const time = hasTimes ? `${clockText(line.at)} ` : '';
    const text = printable(line.text);
    out.line(time + (line.stream === 'stderr' ? out.paint('yellow', text) : text));
  };
}
