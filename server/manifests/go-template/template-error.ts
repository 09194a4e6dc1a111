import { TinsmithError } from '#proto/errors.ts';

/** Where in a template something stands. */
interface Place {
  /** Name of the whole template, as the user knows it. */
  readonly name: string;
  readonly source: string;
  /** Offset in `source`, in UTF-16 units. */
  readonly offset: number;
}

/** Refuses a template: the sentence reads `name:line:column: what is wrong`, line and column counted from 1. */
export function templateError(place: Place, message: string, cause?: unknown): TinsmithError {
  const before = place.source.slice(0, place.offset);
  const line = before.split('\n').length;
  const column = place.offset - (before.lastIndexOf('\n') + 1) + 1;
  return new TinsmithError('invalid_template', `${place.name}:${line}:${column}: ${message}`, {
    ...(cause === undefined ? {} : { cause }),
    problems: [{ file: place.name, line, column, message }],
  });
}

/** What a template function throws: its place is known only to the evaluator, which adds it. */
export function functionFault(message: string): TinsmithError {
  return new TinsmithError('invalid_template', message);
}

/** The known name nearest to a mistyped one, if one is near enough to be meant. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.min(3, Math.ceil(name.length / 3) + 1);
  for (const candidate of known) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** How many letters are to be changed, added or left out. */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
