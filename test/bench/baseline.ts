import type { Line } from './bench-place.ts';

/** Name of a ratio → what it was when it was last accepted. More is better. */
export type Baseline = Readonly<Record<string, number>>;

/** Of two runs on one machine, ratios differ by up to a sixth; by more than this they do not. */
const TOLERANCE = 0.25;

/** One sentence for each ratio that is worse than the baseline, and for each that is not there any more. */
export function compareWithBaseline(lines: readonly Line[], baseline: Baseline): readonly string[] {
  const found = new Map(lines.map(({ name, value }) => [name, value]));
  return Object.entries(baseline).flatMap(([name, before]) => {
    const now = found.get(name);
    if (now === undefined) return [`${name}: was ${before} and is not measured any more`];
    const least = before * (1 - TOLERANCE);
    // A ratio that is no number is worse, too.
    if (now >= least) return [];
    return [`${name}: ${now.toFixed(2)}, the baseline is ${before}: worse by more than ${TOLERANCE * 100} %`];
  });
}
