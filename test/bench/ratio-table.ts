import type { Baseline } from './baseline.ts';

interface Row {
  readonly what: string;
  /** Ratios of the baseline, shown side by side. */
  readonly ratios: readonly string[];
  readonly goal?: string;
}

/** What the ratios are called in docs/benchmarks.md, in its order. A ratio that no row names gets a row under its own name. */
const ROWS: readonly Row[] = [
  { what: 'zst URL, against `zstd`', ratios: ['zst URL: agent / zstd -dc'], goal: '1.0' },
  { what: 'the same from a server 20 ms away', ratios: ['zst URL far away: agent / zstd -dc'], goal: '1.0' },
  {
    what: 'gz URL, against `gzip`, `igzip`',
    ratios: ['gz URL: agent / gzip -dc', 'gz URL: agent / igzip -dc'],
    goal: '2.0, 1.0',
  },
  { what: 'xz URL, against `xz`, `xz -T0`', ratios: ['xz URL: agent / xz -dc', 'xz URL: agent / xz -dc -T0'] },
  { what: 'raw URL', ratios: ['raw URL: agent / cat'] },
  { what: 'library, full image, against `zstd`', ratios: ['library: agent / zstd -dc'], goal: '1.5' },
  {
    what: 'library, full image, against the pipeline that checks both sums',
    ratios: ['library: agent / sha256 | zstd -dc | sha256'],
  },
  {
    what: 'library, sparse image, against writing it all, against `zstd`',
    ratios: ['sparse: library / full dd', 'sparse: library / zstd -dc | dd'],
    goal: '5',
  },
  {
    what: 're-image: nothing, 1 %, 30 % changed, against a full write',
    ratios: [0, 1, 30].map((percent) => `re-image: ${percent} % changed / full write`),
    goal: '3',
  },
  {
    what: 'the same on a disk in memory',
    ratios: [0, 1, 30].map((percent) => `re-image in memory: ${percent} % changed / full write`),
  },
  { what: '8 agents at once, against one', ratios: ['many: 8 agents / one'] },
  { what: '4 agents with peers, against without', ratios: ['peers: 4 agents, with / without'] },
  {
    what: 'one image, against what the server sends to 4 agents with peers',
    ratios: ['peers: 4 agents: one image / sent by the server'],
  },
  {
    what: 'serving, against nginx with sendfile: whole to 1 and 8 clients, ranges to 1 and 8',
    ratios: ['whole, one client', 'whole, 8 clients', 'ranges, one client', 'ranges, 8 clients'].map(
      (how) => `serve: ${how}: ours / nginx`,
    ),
  },
  {
    what: 'import, against `zstd -3 -T2`, with `sha256sum`',
    ratios: ['import: import / zstd -3 -T2', 'import: import / zstd -3 -T2, sha256sum'],
  },
];

const HEAD = '| what | ratio | goal |\n|---|---|---|\n';
const TABLE = new RegExp(`^${HEAD.replaceAll('|', '\\|')}(?:\\|.*\n)*`, 'm');

/** The page with its table of ratios made anew from the baseline. A page without such a table is a mistake. */
export function withRatioTable(page: string, baseline: Baseline): string {
  if (!TABLE.test(page)) throw new Error('the page has no table of ratios');
  return page.replace(TABLE, () => ratioTable(baseline));
}

function ratioTable(baseline: Baseline): string {
  const named = new Set(ROWS.flatMap(({ ratios }) => ratios));
  const others = Object.keys(baseline).filter((name) => !named.has(name));
  const rows = [...ROWS, ...others.map((name): Row => ({ what: name.replaceAll('|', '\\|'), ratios: [name] }))];
  return `${HEAD}${rows.map((row) => tableRow(row, baseline)).join('')}`;
}

function tableRow({ what, ratios, goal }: Row, baseline: Baseline): string {
  const figures = ratios.map((name) => baseline[name]?.toFixed(2) ?? 'not measured');
  return `| ${what} | ${figures.join(', ')} |${goal === undefined ? '' : ` ${goal}`} |\n`;
}
