import type { ProgressView } from '../api/types.ts';
import { amountText, durationText } from './quantity-text.ts';

const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** A bar of `width` characters that is filled by `share` (0 to 1). */
export function bar(share: number, width: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  const whole = '█'.repeat(Math.floor(filled / 8));
  return (whole + (EIGHTHS[filled % 8] ?? '')).padEnd(width, '░');
}

/** `███░░ 52 %  1.2 GiB of 2.3 GiB  212.0 MiB/s  5.3s left`; without a total only amount and rate. */
export function progressText(progress: ProgressView, width: number): string {
  const { done, total, unit } = progress;
  const amount = amountText(done, unit);
  return inPieces(progress, width, total === undefined ? amount : `${amount} of ${amountText(total, unit)}`);
}

/** The same without the amounts, for a narrow terminal: how far, how fast and how long still. */
export function shortProgressText(progress: ProgressView, width: number): string {
  return inPieces(progress, width, '');
}

function inPieces({ done, total, perSecond, unit }: ProgressView, width: number, amounts: string): string {
  const rate = perSecond > 0 ? `  ${amountText(perSecond, unit)}/s` : '';
  if (total === undefined || total <= 0) return `${amountText(done, unit)}${rate}`;
  const share = Math.min(1, done / total);
  const left = perSecond > 0 && done < total ? `  ${durationText(((total - done) / perSecond) * 1000)} left` : '';
  const percent = `${Math.floor(share * 100)} %`.padStart(5);
  return `${bar(share, width)} ${percent}${amounts === '' ? '' : `  ${amounts}`}${rate}${left}`;
}
