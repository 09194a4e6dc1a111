import type { EventView, ProgressView } from '../api/types.ts';
import { amountText, durationText } from './quantity-text.ts';
import { printable } from './terminal.ts';

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` characters that is filled by `share` (0 to 1). */
export function bar(share: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  const whole = '█'.repeat(Math.floor(filled / 8));
  return (whole + (EIGHTHS[filled % 8] ?? '')).padEnd(width, '░');
}

/**
 * `███░░ 52 %  1.2 GiB of 2.3 GiB  212.0 MiB/s  5.3s left`; without a total only amount and rate. Where nothing is done any more, how
 * long, and why, instead of a rate.
 */
export function progressText(progress: ProgressView, width: number): string {
  const { done, total, unit } = progress;
  const amount = amountText(done, unit);
  return inPieces(progress, width, total === undefined ? amount : `${amount} of ${amountText(total, unit)}`);
}

/** The same without the amounts, for a narrow terminal: how far, how fast and how long still. */
export function shortProgressText(progress: ProgressView, width: number): string {
  return inPieces(progress, width, '');
}

/** `waits 42s for its turn (2nd in line)`, `stalled for 1m05s: the connection was cut`; undefined: it gets on. */
export function standstillText({ idleMs, trouble, waitsFor }: ProgressView): string | undefined {
  if (idleMs === undefined) return undefined;
  const long = durationText(Math.floor(idleMs / 1000) * 1000).replace('.0s', 's');
  if (waitsFor !== undefined) return `waits ${long} for ${printable(waitsFor)}`;
  return trouble === undefined ? `nothing new for ${long}` : `stalled for ${long}: ${printable(trouble)}`;
}

function inPieces(progress: ProgressView, width: number, amounts: string): string {
  const { done, total, perSecond, unit } = progress;
  const still = standstillText(progress);
  if (still !== undefined && done === 0) return still;
  const rate = perSecond > 0 && still === undefined ? `  ${amountText(perSecond, unit)}/s` : '';
  if (total === undefined || total <= 0)
    return `${amountText(done, unit)}${rate}${still === undefined ? '' : `  ${still}`}`;
  const share = Math.min(1, done / total);
  const left =
    still !== undefined
      ? `  ${still}`
      : perSecond > 0 && done < total
        ? `  ${durationText(((total - done) / perSecond) * 1000)} left`
        : '';
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  return `${bar(share, width)} ${percent}${amounts === '' ? '' : `  ${amounts}`}${rate}${left}`;
}

/** Progress facts of an `action.progress` event, if it has them. */
export function progressOf({ data }: EventView): ProgressView | undefined {
  const { done, total, perSecond, unit, idleMs, trouble, waitsFor } = data;
  if (typeof done !== 'number') return undefined;
  return {
    done,
    ...(typeof total === 'number' && { total }),
    perSecond: typeof perSecond === 'number' ? perSecond : 0,
    unit: typeof unit === 'string' ? unit : 'bytes',
    ...(typeof idleMs === 'number' && { idleMs }),
    ...(typeof trouble === 'string' && { trouble }),
    ...(typeof waitsFor === 'string' && { waitsFor }),
  };
}
