import { nearestName } from './go-template/template-error.ts';

/** ` (did you mean x?)` when one of the known names is near enough to what was written, or the only one that begins so; empty otherwise. */
export function didYouMean(written: string, known: Iterable<string>): string {
  if (written.length > 100) return '';
  const names = [...known];
  const lower = written.toLowerCase();
  const begun = names.filter((name) => lower.length >= 3 && name.toLowerCase().startsWith(lower));
  const nearest = nearestName(written, names) ?? (begun.length === 1 ? begun[0] : undefined);
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
}
