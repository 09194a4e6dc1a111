import { TinsmithError } from '#proto/errors.ts';
import type { HardwareView } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import type { Command } from '../command.ts';
import { recordPath } from '../resource-kind.ts';

export const hardwareNetbootCommand: Command = {
  name: 'hardware netboot',
  arguments: 'NAME on|off',
  takes: [2, 2],
  summary: 'Switch network boot on or off for a machine.',
  options: API_OPTIONS,
  examples: ['tinsmith hardware netboot node-1 off'],
  async run({ api, out }, input) {
    const [name = '', word = ''] = input.positionals;
    if (word !== 'on' && word !== 'off') {
      throw new TinsmithError('usage', `network boot is switched "on" or "off", not "${word}"`);
    }
    const path = `${recordPath('hardware', name)}/netboot`;
    const hardware = await api.send<HardwareView>('PUT', path, { netboot: word === 'on' });
    out.line(`hardware/${hardware.name} network boot ${hardware.netboot ? 'on' : 'off'}`);
    return 0;
  },
};
