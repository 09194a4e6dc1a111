import type { SlurpParams } from '#proto/actions/slurp.ts';
import { uploadDisk } from '../slurp/upload-disk.ts';
import type { ActionContext } from './action-context.ts';

/** Reads a disk, which nobody else may use meanwhile, and sends it to a server. */
export async function slurp(params: SlurpParams, context: ActionContext): Promise<void> {
  const { machine, progress, signal } = context;
  const log = (text: string): void => context.log('agent', text);
  const startedAt = performance.now();
  await using disk = await machine.openDisk(params.disk, { signal });
  const { sizeBytes } = disk;
  const sent = await uploadDisk(disk, params, {
    signal,
    log,
    progress: (done) => progress({ done, total: sizeBytes }),
  });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  log(`sent ${sizeBytes} bytes of ${params.disk} as ${params.name} in ${seconds} s: ${sent.sentBytes} bytes`);
  log(`the SHA-256 of what was sent is ${sent.sha256}`);
}
