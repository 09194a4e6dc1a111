import type { VersionView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command } from '../command.ts';

export const versionCommand: Command = {
  name: 'version',
  arguments: '',
  takes: [0, 0],
  summary: 'Print the version; with --remote also that of the server.',
  options: { remote: { type: 'boolean', summary: 'Ask the server, too.' }, ...API_OPTIONS },
  examples: ['tinsmith version', 'tinsmith version --remote'],
  async run({ api, out, parts }, input) {
    out.line(`tinsmith ${parts.version} (node ${process.versions.node})`);
    if (input.has('remote')) {
      const server = await api.get<VersionView>('/version');
      out.line(`server ${server.version} (node ${server.node})`);
    }
    return 0;
  },
};
