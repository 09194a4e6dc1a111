import { nearestName } from './go-template/template-error.ts';

/** ` (did you mean x?)` when one of the known names is near enough to what was written; empty otherwise. */
export function didYouMean(written: string, known: Iterable<string>): string {
  if (written.length > 100) return '';
  const nearest = nearestName(written, known);
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
}
