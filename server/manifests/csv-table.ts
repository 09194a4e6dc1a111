import { CsvError, type CsvErrorCode, parse } from 'csv-parse/sync';
import type { Findings, Position } from './findings.ts';

/** A cell of a table as it means (quotes taken off) and where it begins. */
export interface CsvCell {
  readonly text: string;
  readonly at: Position;
}

const MOST_ROWS = 100_000;
const MOST_COLUMNS = 200;

/**
 * Rows of a CSV text (RFC 4180), the header row included; blank lines are skipped, rows may differ in length. A broken
 * quote is a problem and ends the table: where its row ends cannot be known.
 */
export function readCsvTable(
  file: { readonly name: string; readonly text: string },
  findings: Findings,
): readonly (readonly CsvCell[])[] {
  const bytes = Buffer.from(file.text);
  const starts = lineStarts(bytes);
  const rows: CsvCell[][] = [];
  let end = -1;
  const beginning = (index: number): Position => {
    const offset = index === 0 ? skipLineEnds(bytes, end) : end + 1;
    return { file: file.name, ...placeOfByte(bytes, starts, offset) };
  };
  try {
    parse(bytes, {
      record_delimiter: ['\r\n', '\n', '\r'],
      relax_column_count: true,
      skip_empty_lines: true,
      cast: (text, context) => {
        const at = beginning(context.index);
        if (context.index === 0) rows.push([]);
        const row = rows.at(-1);
        if (row === undefined || row.length >= MOST_COLUMNS || rows.length > MOST_ROWS) throw new TooLarge();
        row.push({ text, at });
        end = context.bytes;
        return '';
      },
    });
  } catch (thrown) {
    // The parser tells which cell of its row is broken; the cells before it came by.
    const index = thrown instanceof CsvError && typeof thrown['index'] === 'number' ? thrown['index'] : 0;
    findings.refuse(beginning(index), faultOf(thrown));
    if (index > 0) rows.pop();
  }
  return rows;
}

class TooLarge extends Error {}

const QUOTE_FAULTS: Partial<Record<CsvErrorCode, string>> = {
  CSV_QUOTE_NOT_CLOSED: 'a quote opens here and never closes: add the closing quote, or remove this one',
  CSV_INVALID_CLOSING_QUOTE:
    'text follows the closing quote of this cell: double a quote that belongs to the text ("")',
  INVALID_OPENING_QUOTE:
    'a quote stands inside this cell: put the whole cell in quotes and double the quote inside ("")',
};

function faultOf(thrown: unknown): string {
  if (thrown instanceof TooLarge)
    return `the table has more than ${MOST_ROWS} rows or ${MOST_COLUMNS} columns: split it`;
  const fault = thrown instanceof CsvError ? QUOTE_FAULTS[thrown.code] : undefined;
  return fault ?? 'not valid CSV: correct this row';
}

/** Offset of the first byte of every line. A line ends with CRLF, LF or CR. */
function lineStarts(bytes: Buffer): number[] {
  const starts = [0];
  for (const [offset, byte] of bytes.entries()) {
    if (byte === LF || (byte === CR && bytes[offset + 1] !== LF)) starts.push(offset + 1);
  }
  return starts;
}

/** First byte of the row after the one that ended at `end`: blank lines are no rows. */
function skipLineEnds(bytes: Buffer, end: number): number {
  let offset = Math.max(0, end);
  while (bytes[offset] === LF || bytes[offset] === CR) offset++;
  return offset;
}

function placeOfByte(bytes: Buffer, starts: readonly number[], offset: number) {
  let low = 0;
  let high = starts.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((starts[middle] ?? 0) <= offset) low = middle;
    else high = middle;
  }
  return { line: low + 1, column: bytes.toString('utf8', starts[low] ?? 0, offset).length + 1 };
}

const LF = 0x0a;
const CR = 0x0d;
