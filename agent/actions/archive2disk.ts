import type { Archive2diskParams } from '#proto/actions/archive2disk.ts';
import { unpackArchive } from '../archive/unpack-archive.ts';
import type { ActionContext } from './action-context.ts';

/** Unpacks an archive into a file system; nothing of it is replaced before the whole archive has proved right. */
export async function archive2disk(params: Archive2diskParams, context: ActionContext): Promise<void> {
  const { machine, log, progress, standstill, signal } = context;
  const startedAt = performance.now();
  const root = await machine.mount(params.device, params.fileSystem, { signal });
  const unpacked = await unpackArchive(
    root,
    { ...params, startFilter: (argv) => machine.startFilter(argv) },
    {
      signal,
      log: (text) => log('agent', text),
      standstill,
      progress: (done, total) => progress({ done, ...(total === undefined ? {} : { total }) }),
    },
  );
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const { entries, tarBytes, format } = unpacked;
  const place = `${params.path} on ${params.device}`;
  log('agent', `unpacked ${entries} entries, ${tarBytes} bytes of tar (${format}), to ${place} in ${seconds} s`);
}
