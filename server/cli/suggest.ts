/** ` (did you mean "get"?)` for the closest of the known words, or nothing when none is close. */
export function didYouMean(word: string, known: readonly string[]): string {
  const closest = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate) }))
    .toSorted((a, b) => a.distance - b.distance)[0];
  const isClose = closest !== undefined && closest.distance <= Math.max(1, Math.floor(word.length / 3));
  return isClose ? ` (did you mean "${closest.candidate}"?)` : '';
}

/** Levenshtein distance, one row at a time. Words are cut at 64 characters. */
function editDistance(from: string, to: string): number {
  const a = from.slice(0, 64);
  const b = to.slice(0, 64);
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
