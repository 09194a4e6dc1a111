import { editDistance, nearestName } from './go-template/template-error.ts';

/** ` (did you mean x?)` for the name that `nearestKnown` finds; empty otherwise. */
export function didYouMean(written: string, known: Iterable<string>): string {
  const nearest = nearestKnown(written, known);
  return nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
}

/** The known name that is near enough to what was written, or the only one that begins or ends so. */
export function nearestKnown(written: string, known: Iterable<string>): string | undefined {
  if (written.length > 100) return undefined;
  const names = [...known];
  const lower = written.toLowerCase();
  const longer = names
    .map((name) => name.toLowerCase())
    .filter((name) => lower.length >= 3 && name.length > lower.length);
  const begun = longer.filter((name) => name.startsWith(lower));
  const ended = longer.filter((name) => name.endsWith(lower));
  const [part, ...others] = begun.length > 0 ? begun : ended;
  const whole = others.length === 0 ? names.find((name) => name.toLowerCase() === part) : undefined;
  return nearestName(written, names) ?? whole;
}

/** The known names that are most like what was written: those that begin so, or it with them, then those with the fewest other letters. */
export function mostLike(written: string, known: Iterable<string>, most: number): readonly string[] {
  const lower = written.toLowerCase().slice(0, 100);
  const ranked = [...known].map((name) => ({ name, distance: distanceOf(lower, name.toLowerCase()) }));
  return ranked
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, most)
    .map(({ name }) => name);
}

function distanceOf(written: string, name: string): number {
  return written !== '' && (name.startsWith(written) || written.startsWith(name)) ? 0 : editDistance(written, name);
}
