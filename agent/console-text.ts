import type { ProgressReport } from './report.ts';

/** One line of progress for the machine's console: `512 MiB of 2.0 GiB (25 %), 210 MiB/s, 7 s left`. */
export function progressText(progress: Omit<ProgressReport, 'task' | 'action'>): string {
  const { done, total, perSecond, unit } = progress;
  const rate = `${amountText(perSecond, unit)}/s`;
  if (total === undefined || total === 0) return `${amountText(done, unit)}, ${rate}`;
  const percent = Math.floor((Math.min(done, total) * 100) / total);
  const left = perSecond > 0 ? `, ${Math.ceil(Math.max(0, total - done) / perSecond)} s left` : '';
  return `${amountText(done, unit)} of ${amountText(total, unit)} (${percent} %), ${rate}${left}`;
}

function amountText(amount: number, unit: string): string {
  if (unit !== 'bytes') return `${Math.round(amount)} ${unit}`;
  let value = amount;
  for (const name of ['B', 'KiB', 'MiB', 'GiB']) {
    if (value < 1024) return `${name === 'B' ? Math.round(value) : value.toPrecision(3)} ${name}`;
    value /= 1024;
  }
  return `${value.toPrecision(3)} TiB`;
}
