import { TinsmithError } from '#proto/errors.ts';
import type { ClusterOptionsRequest } from '../api/cluster-types.ts';
import type { CommandInput, OptionSpec } from './command.ts';

/** How a cluster is made; kept with it until it is changed. */
export const CLUSTER_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  retries: {
    type: 'string',
    value: 'COUNT',
    summary: 'Further tries of an installation that failed, on the same machine (1).',
  },
  'on-failure': {
    type: 'string',
    value: 'WHAT',
    choices: ['spare', 'stop'],
    summary: 'After the last try a spare machine takes its place (spare), or the cluster waits for you (stop).',
  },
  parallel: { type: 'string', value: 'COUNT', summary: 'Workers that are installed at the same time (16).' },
};

export const HARDWARE_OPTION: Readonly<Record<'hardware', OptionSpec>> = {
  hardware: {
    type: 'string',
    multiple: true,
    value: 'FILE',
    summary: 'Hardware CSV or YAML that belongs to it; like -f.',
  },
};

export const IP_CHECK_OPTION: Readonly<Record<'skip-ip-check', OptionSpec>> = {
  'skip-ip-check': { type: 'boolean', summary: 'Do not ask the network whether an address is in use.' },
};

/** For changes that take nodes away. */
export const LEAVING_OPTIONS: Readonly<Record<string, OptionSpec>> = {
  'skip-drain': { type: 'boolean', summary: 'Do not ask Kubernetes to give up nodes before their machines are taken.' },
  'no-wipe': { type: 'boolean', summary: 'Leave the disks of machines that leave as they are.' },
};

export const WAIT_OPTION: Readonly<Record<'no-wait', OptionSpec>> = {
  'no-wait': { type: 'boolean', summary: 'Do not watch: the cluster goes on by itself.' },
};

export const YES_OPTION: Readonly<Record<'yes', OptionSpec>> = {
  yes: { type: 'boolean', short: 'y', summary: 'Do not ask: disks are erased.' },
};

/** What was typed of these options; what was not is left as it is. */
export function clusterOptionsOf(input: CommandInput): ClusterOptionsRequest {
  const onFailure = input.text('on-failure');
  return {
    ...numberOf(input, 'retries', 0),
    ...numberOf(input, 'parallel', 1),
    ...(onFailure === 'spare' || onFailure === 'stop' ? { onFailure } : {}),
    ...(input.has('skip-drain') ? { skipDrain: true } : {}),
    ...(input.has('no-wipe') ? { wipe: false } : {}),
    ...(input.has('lose-state') ? { loseState: true } : {}),
  };
}

function numberOf(input: CommandInput, name: 'retries' | 'parallel', least: number): ClusterOptionsRequest {
  const text = input.text(name);
  return text === undefined ? {} : { [name]: wholeNumber(`--${name}`, text, least) };
}

/** @throws TinsmithError `usage` */
export function wholeNumber(option: string, text: string, least: number): number {
  const number = Number(text);
  if (/^\d{1,4}$/.test(text) && number >= least) return number;
  throw new TinsmithError('usage', `${option} is "${text}": use a whole number from ${least}`);
}
