import type { DeletedView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command } from '../command.ts';
import { type KindName, kindOf, recordPath } from '../resource-kind.ts';

const KINDS: readonly KindName[] = ['hardware', 'template', 'workflow'];

export const deleteCommand: Command = {
  name: 'delete',
  arguments: 'KIND NAME...',
  takes: [2, 1000],
  firstArgument: ['hardware', 'template', 'workflow'],
  summary: 'Delete hardware, templates or workflows that nothing runs on.',
  options: API_OPTIONS,
  examples: ['tinsmith delete workflow node-1', 'tinsmith delete hw node-1 node-2'],
  async run({ api, out }, input) {
    const [word = '', ...names] = input.positionals;
    const kind = kindOf(word, KINDS);
    for (const name of names) {
      const deleted = await api.send<DeletedView>('DELETE', recordPath(kind, name));
      out.line(`${kind}/${deleted.name} deleted`);
    }
    return 0;
  },
};
