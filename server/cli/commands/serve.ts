import type { Command, OptionSpec, SettingSpec } from '../command.ts';
import { startFailure } from '../start-failure.ts';

/** `tinsmith serve`; its options are the settings of the server. */
export function serveCommand(settings: readonly SettingSpec[]): Command {
  return {
    name: 'serve',
    arguments: '',
    takes: [0, 0],
    summary: 'Run the server: DHCP, TFTP, HTTP, agents and the admin API.',
    options: Object.fromEntries(settings.map((setting) => [setting.flag, settingOption(setting)])),
    examples: [
      'tinsmith serve --interface eth1',
      'tinsmith serve --interface eth1 --dhcp-mode proxy',
      'TINSMITH_DATA_DIR=/srv/tinsmith tinsmith serve --address 10.0.0.1',
    ],
    async run({ parts, signal }, input) {
      const flags = Object.fromEntries(settings.map(({ flag }) => [flag, input.text(flag)]));
      await parts.serve(flags, signal).catch((error: unknown) => {
        throw startFailure(error);
      });
      return 0;
    },
  };
}

function settingOption({ summary, type, fallback, variable }: SettingSpec): OptionSpec {
  const origin = fallback === '' ? variable : `${variable}, default ${fallback}`;
  return { type: 'string', value: PLACEHOLDERS[type] ?? 'TEXT', summary: `${summary.replaceAll('`', '')} (${origin})` };
}

const PLACEHOLDERS: Readonly<Record<string, string>> = {
  number: 'NUMBER',
  boolean: 'true|false',
  list: 'A,B',
  proxy: 'URL',
};
