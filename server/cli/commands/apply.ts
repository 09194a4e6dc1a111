import type { ApplyRequest, ApplyResponse } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command } from '../command.ts';
import { FILENAME_OPTION, readManifestFiles } from '../manifest-files.ts';
import { problemLine } from '../problem-lines.ts';
import { OUTPUT_OPTION, outputFormat, printDocument } from '../record-output.ts';

export const applyCommand: Command = {
  name: 'apply',
  arguments: '-f FILE',
  takes: [0, 0],
  summary: 'Create or change everything that manifest files name, or nothing.',
  options: {
    ...FILENAME_OPTION,
    'dry-run': { type: 'boolean', summary: 'Check everything against the server and change nothing.' },
    ...OUTPUT_OPTION,
    ...API_OPTIONS,
  },
  examples: [
    'tinsmith apply -f hardware.csv -f debian.yaml',
    'tinsmith apply -f site/ --dry-run',
    'generate-hardware | tinsmith apply -f -',
  ],
  async run(context, input) {
    const { api, out } = context;
    const request: ApplyRequest = { files: await readManifestFiles(context, input), dryRun: input.has('dry-run') };
    const answer = await api.send<ApplyResponse>('POST', '/apply', request);
    for (const warning of answer.warnings) out.note(`warning: ${problemLine(warning)}`);
    const format = outputFormat(input.text('output'));
    if (format === 'json' || format === 'yaml') {
      printDocument(out, format, answer);
      return 0;
    }
    for (const { kind, name, outcome } of answer.records) {
      const id = `${kind.toLowerCase()}/${name}`;
      out.line(format === 'name' ? id : `${id} ${outcome}${answer.dryRun ? ' (dry run)' : ''}`);
    }
    if (answer.records.length === 0) out.note('the files hold nothing that is stored');
    return 0;
  },
};
