import { TinsmithError } from '#proto/errors.ts';
import type { Command } from '../command.ts';
import { FILENAME_OPTION, readManifestFiles, readText } from '../manifest-files.ts';
import { problemLine } from '../problem-lines.ts';
import { printDocument } from '../record-output.ts';

export const validateCommand: Command = {
  name: 'validate',
  arguments: '-f FILE',
  takes: [0, 0],
  summary: 'Check manifest files by themselves, all faults at once; needs no server.',
  options: {
    ...FILENAME_OPTION,
    'actions-map': {
      type: 'string',
      value: 'FILE',
      summary: 'A site’s own names of actions, as `serve` takes them.',
    },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      choices: ['table', 'json', 'yaml'],
      summary: 'How to print.',
    },
  },
  examples: [
    'tinsmith validate -f hardware.csv -f debian.yaml',
    'tinsmith validate -f site/ -o json',
    'tinsmith apply -f site/ --dry-run   # against what the server has',
  ],
  async run(context, input) {
    const { out } = context;
    const files = await readManifestFiles(context, input);
    const map = input.text('actions-map');
    const actionsMap = map === undefined ? undefined : { name: map, text: await readText(map) };
    const { problems, warnings, counts } = await context.parts.validate(files, actionsMap);
    const isValid = problems.length === 0;
    const format = input.text('output');
    if (format === 'json' || format === 'yaml') {
      printDocument(out, format, { valid: isValid, problems, warnings, counts });
    } else {
      for (const warning of warnings) out.note(`warning: ${problemLine(warning)}`);
    }
    if (!isValid) {
      const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
      throw new TinsmithError('invalid_input', `the files have ${count}`, { problems });
    }
    if (format === undefined || format === 'table') {
      const { hardware, templates, workflows, clusters } = counts;
      const parts = [counted(templates, 'template'), counted(workflows, 'workflow'), counted(clusters, 'cluster')];
      out.line(`valid: ${hardware} hardware, ${parts.join(', ')} in ${counted(files.length, 'file')}`);
    }
    return 0;
  },
};

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
