import { amountText } from './quantity-text.ts';

interface Import {
  readonly image: string;
  readonly done: number;
  readonly total?: number | undefined;
  readonly perSecond: number;
}

/** `waits for the import of debian.raw.xz (43 %, 12.0 MiB/s)`: why a machine does nothing yet. */
export function importWaitText({ image, done, total, perSecond }: Import): string {
  const far = total === undefined || total === 0 ? amountText(done, 'bytes') : `${Math.floor((100 * done) / total)} %`;
  const rate = perSecond > 0 ? `, ${amountText(perSecond, 'bytes')}/s` : '';
  return `waits for the import of ${image} (${far}${rate})`;
}
