import { nearestName } from './go-template/template-error.ts';

/**
 * ` (did you mean x?)` when one of the known names is near enough to what was written, or the only one that begins or ends
 * so; empty otherwise.
 */
export function didYouMean(written: string, known: Iterable<string>): string {
  if (written.length > 100) return '';
  const names = [...known];
  const lower = written.toLowerCase();
  const longer = names
    .map((name) => name.toLowerCase())
    .filter((name) => lower.length >= 3 && name.length > lower.length);
  const begun = longer.filter((name) => name.startsWith(lower));
  const ended = longer.filter((name) => name.endsWith(lower));
  const [part, ...others] = begun.length > 0 ? begun : ended;
  const whole = others.length === 0 ? names.find((name) => name.toLowerCase() === part) : undefined;
  const nearest = nearestName(written, names) ?? whole;
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
}
