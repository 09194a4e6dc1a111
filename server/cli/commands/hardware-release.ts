import { setTimeout as delay } from 'node:timers/promises';
import type { ReleaseAnswer } from '../../api/types.ts';
import { API_OPTIONS } from '../api-options.ts';
import { WAIT_OPTION, YES_OPTION } from '../cluster-option-flags.ts';
import type { Command } from '../command.ts';
import { confirmed } from '../confirm.ts';
import { recordPath } from '../resource-kind.ts';
import { printable } from '../terminal.ts';

const LOOK_MS = 1_000;

export const hardwareReleaseCommand: Command = {
  name: 'hardware release',
  arguments: 'NAME',
  takes: [1, 1],
  summary: 'Take a machine out of service or out of its cluster: wipe its disks, switch it off, drop its user data.',
  options: {
    'no-wipe': { type: 'boolean', summary: 'Leave its disks as they are: the installed system goes on running.' },
    ...YES_OPTION,
    ...WAIT_OPTION,
    ...API_OPTIONS,
  },
  examples: ['tinsmith hardware release node-1', 'tinsmith hardware release node-1 --no-wipe --yes'],
  async run(context, input) {
    const { api, out, signal } = context;
    const [name = ''] = input.positionals;
    const wipe = !input.has('no-wipe');
    const path = `${recordPath('hardware', name)}/release`;
    const { steps, wipes = wipe } = await api.send<ReleaseAnswer>('POST', path, { wipe, dryRun: true });
    for (const step of steps) out.line(printable(step));
    const disks = wipes ? 'All its disks are erased.' : 'Its disks stay as they are.';
    await confirmed(context, input, `Release ${name}? ${disks}`);
    let answer = await api.send<ReleaseAnswer>('POST', path, { wipe });
    let told = '';
    while (!answer.isReleased) {
      if (answer.waits !== undefined && answer.waits !== told) out.line(printable(answer.waits));
      told = answer.waits ?? told;
      if (input.has('no-wait')) {
        out.line(`hardware/${name} is being released`);
        return 0;
      }
      try {
        await delay(LOOK_MS, undefined, { signal });
      } catch (thrown) {
        out.note(`the release goes on; look at it with: tinsmith describe hardware ${name}`);
        throw thrown;
      }
      answer = await api.get<ReleaseAnswer>(path);
    }
    out.line(`hardware/${name} released`);
    return 0;
  },
};
