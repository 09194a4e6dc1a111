import type { KexecParams } from '#proto/actions/kexec.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { TargetRoot } from '../machine/machine.ts';
import type { ActionContext } from './action-context.ts';
import { type GrubEntry, grubDefaultEntry } from './grub-config.ts';

/** Loads the installed kernel; it is started when everything is reported and unmounted. */
export async function kexec(params: KexecParams, { machine, log, requestPower, signal }: ActionContext): Promise<void> {
  const root = await machine.mount(params.device, params.fileSystem, { signal });
  const entry = await chooseKernel(params, root);
  const commandLine = params.commandLine ?? entry.commandLine;
  const kernel = await root.resolve(entry.kernel);
  const initrds: string[] = [];
  for (const initrd of entry.initrds) initrds.push(await root.resolve(initrd));
  await machine.loadKernel({ kernel, initrds, commandLine }, { signal });
  await machine.releaseMounts();
  requestPower('kexec');
  log('agent', `loaded ${entry.kernel} of ${params.device} with "${commandLine}"`);
}

async function chooseKernel(params: KexecParams, root: TargetRoot): Promise<GrubEntry> {
  if (params.kernel !== undefined) {
    return { kernel: params.kernel, initrds: params.initrds, commandLine: params.commandLine ?? '' };
  }
  const text = await root.readFile(params.grubConfig, 1 << 20);
  if (text === undefined) {
    const place = `${params.grubConfig} on ${params.device}`;
    throw new TinsmithError('not_found', `cannot find a kernel: there is no ${place}, set GRUBCFG_PATH or KERNEL_PATH`);
  }
  return grubDefaultEntry(text.toString('utf8'), params.grubConfig);
}
