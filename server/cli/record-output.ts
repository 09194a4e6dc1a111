import { stringify } from 'yaml';
import type { OptionSpec } from './command.ts';
import { printable, type Terminal } from './terminal.ts';

export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml' | 'name';

export const OUTPUT_OPTION: Readonly<Record<'output', OptionSpec>> = {
  output: {
    type: 'string',
    short: 'o',
    value: 'FORMAT',
    choices: ['table', 'wide', 'json', 'yaml', 'name'],
    summary: 'How to print.',
  },
};

export interface Column<Item> {
  readonly title: string;
  /** Only with `-o wide`. */
  readonly isWide?: boolean;
  readonly text: (item: Item) => string;
}

/** `-o` as it was checked by the command line; `table` when left out. */
export function outputFormat(text: string | undefined): OutputFormat {
  return isFormat(text) ? text : 'table';
}

function isFormat(text: string | undefined): text is OutputFormat {
  return OUTPUT_OPTION.output.choices?.includes(text ?? '') ?? false;
}

/** Prints a document as JSON or YAML, complete. */
export function printDocument(out: Terminal, format: 'json' | 'yaml', document: unknown): void {
  if (format === 'json') out.line(JSON.stringify(document, undefined, 2));
  else out.raw(stringify(document, { lineWidth: 0, aliasDuplicateObjects: false }));
}

/** Prints a table whose columns are as wide as they must be; every cell is made printable. */
export function printTable<Item>(
  out: Terminal,
  columns: readonly Column<Item>[],
  items: readonly Item[],
  format: 'table' | 'wide',
): void {
  const shown = columns.filter(({ isWide }) => format === 'wide' || isWide !== true);
  const rows = items.map((item) => shown.map(({ text }) => printable(text(item)).replaceAll('\n', ' ')));
  const widths = shown.map(({ title }, index) => Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => (index === cells.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
      .join('   ')
      .trimEnd();
  out.line(out.paint('bold', line(shown.map(({ title }) => title))));
  for (const row of rows) out.line(line(row));
}
