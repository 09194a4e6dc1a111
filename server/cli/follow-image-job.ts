import { setTimeout as delay } from 'node:timers/promises';
import { isErrorCode, TinsmithError } from '#proto/errors.ts';
import type { ImageJobView } from '../api/image-types.ts';
import type { CommandContext } from './command.ts';
import { LiveBlock } from './live-block.ts';
import { progressText } from './progress-bar.ts';

const ASK_EVERY_MS = 500;
/** For logs: as often as somebody who looks wonders whether it still goes on. */
const LINE_EVERY_MS = 10_000;
const BAR_WIDTH = 24;

/** Shows how far a job is until it ends. Resolves to the job that succeeded; throws what ended it otherwise. */
export async function followImageJob(started: ImageJobView, context: CommandContext): Promise<ImageJobView> {
  const { out, signal } = context;
  const block = out.isInteractive ? new LiveBlock(out) : undefined;
  const show =
    block === undefined
      ? nowAndThen(context, (text) => out.note(`image/${started.name}: ${text}`))
      : (text: string) => block.draw([text]);
  try {
    return succeeded(await untilJobEnded(started, context, show));
  } catch (thrown) {
    if (signal.aborted) out.note(`image/${started.name}: the server goes on with it${importHint(started)}`);
    throw thrown;
  } finally {
    block?.draw([]);
  }
}

/** Prints what it is told, but not more than a line every ten seconds, and none before the first ten are over. */
export function nowAndThen(
  { now }: Pick<CommandContext, 'now'>,
  print: (text: string) => void,
): (text: string) => void {
  let lastAt = now().getTime();
  return (text) => {
    const at = now().getTime();
    if (at - lastAt < LINE_EVERY_MS) return;
    lastAt = at;
    print(text);
  };
}

/** How to see and to end an import. */
export function importHint({ kind, name }: ImageJobView): string {
  return kind === 'add' ? `; see tinsmith image list, end it with tinsmith image cancel ${name}` : '';
}

/** Resolves to the job when it has ended, in whatever way. */
export async function untilJobEnded(
  started: ImageJobView,
  { api, signal, now }: CommandContext,
  show: (text: string) => void,
): Promise<ImageJobView> {
  let job = started;
  while (job.state === 'running') {
    const seconds = Math.max(0.001, (now().getTime() - Date.parse(job.startedAt)) / 1000);
    const { done, total } = job;
    const progress = { done, perSecond: done / seconds, unit: 'bytes', ...(total !== undefined && { total }) };
    show(job.trouble ?? progressText(progress, BAR_WIDTH));
    await delay(ASK_EVERY_MS, undefined, { signal });
    job = await api.get<ImageJobView>(`/image-jobs/${job.id}`);
  }
  return job;
}

function succeeded(job: ImageJobView): ImageJobView {
  if (job.state === 'succeeded') return job;
  const { code = 'internal', message = `the job is ${job.state}` } = job.error ?? {};
  throw new TinsmithError(isErrorCode(code) ? code : 'internal', message);
}
