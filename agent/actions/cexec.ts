import type { CexecParams } from '#proto/actions/cexec.ts';
import type { ProgramCall } from '../machine/machine.ts';
import type { ActionContext } from './action-context.ts';
import { requireSuccess } from './program-failure.ts';

/** Runs the commands in order; the first that fails ends the action with its exit code. */
export async function cexec(params: CexecParams, { machine, log, progress, signal }: ActionContext): Promise<void> {
  const root = await machine.mount(params.device, params.fileSystem, { signal });
  for (const [index, argv] of params.commands.entries()) {
    const name = argv[0] ?? '';
    const call: ProgramCall = {
      argv,
      // Outside a chroot this is how a command finds the installed system.
      environment: { ...params.environment, TINSMITH_TARGET: root.mountPoint },
      signal,
      onLine: (stream, line) => log(stream, line),
    };
    const result = params.chroot
      ? await machine.runInside(root, { ...call, resolvConf: params.updateResolvConf })
      : await machine.run(call);
    requireSuccess(`${name} on ${params.device}`, result);
    progress({ done: index + 1, total: params.commands.length, unit: 'commands' });
  }
  log('agent', `ran ${params.commands.length} command(s) on ${params.device}`);
}
