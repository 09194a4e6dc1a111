import { amountText } from './quantity-text.ts';

interface Import {
  readonly image: string;
  readonly done: number;
  readonly total?: number | undefined;
  readonly perSecond: number;
  readonly before?: number | undefined;
  readonly trouble?: string | undefined;
}

/** `image debain-12 is missing (did you mean debian-12? tinsmith image add debain-12 SOURCE)`: why an action would fail. */
export function missingImageText(name: string, nearest: string | undefined): string {
  const fix = name.startsWith('sha256-') ? 'see tinsmith image list' : `tinsmith image add ${name} SOURCE`;
  return `image ${name} is missing (${nearest === undefined ? '' : `did you mean ${nearest}? `}${fix})`;
}

/** `waits for the import of debian.raw.xz (43 %, 12.0 MiB/s)`: why a machine does nothing yet. */
export function importWaitText({ image, done, total, perSecond, before, trouble }: Import): string {
  if (before !== undefined) {
    return `waits for the import of ${image} (${before === 0 ? 'it is next' : `${before} more come first`})`;
  }
  if (trouble !== undefined) return `waits for the import of ${image} (${trouble})`;
  const far = total === undefined || total === 0 ? amountText(done, 'bytes') : `${Math.floor((100 * done) / total)} %`;
  const rate = perSecond > 0 ? `, ${amountText(perSecond, 'bytes')}/s` : '';
  return `waits for the import of ${image} (${far}${rate})`;
}
