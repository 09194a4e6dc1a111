import type { Claims } from './claims.ts';
import { type CsvCell, readCsvTable } from './csv-table.ts';
import { didYouMean } from './did-you-mean.ts';
import { type Findings, listed, shown } from './findings.ts';
import {
  CSV_COLUMNS,
  type CsvCells,
  type CsvColumn,
  checkCsvRow,
  REQUIRED_COLUMNS,
  textOf,
} from './hardware-csv-row.ts';
import { hardwareFromCsv } from './hardware-from-csv.ts';
import type { HardwareManifest } from './hardware-kind.ts';
import type { Located } from './located.ts';

/** What a hardware CSV holds. */
export interface LoadedCsv {
  readonly hardware: readonly Located<HardwareManifest>[];
  /** Host names of rows that were refused; of a table without a usable header a word for its machines. */
  readonly refused: readonly string[];
  /** The BMCs of the rows that are fine; nothing keeps them but `generate hardware`. */
  readonly bmcs: readonly BmcCells[];
}

/** How a machine is switched on; the password is a secret. */
export interface BmcCells {
  readonly hostname: string;
  readonly address: string;
  readonly username: string;
  readonly password: string;
}

/**
 * Reads the hardware CSV of EKS Anywhere: columns by header name, in any order. The faults of all rows are told, each with
 * its place and host name.
 */
export function readHardwareCsv(
  file: { readonly name: string; readonly text: string },
  findings: Findings,
  claims: Claims,
): LoadedCsv {
  const [header, ...rows] = readCsvTable(file, findings);
  if (header === undefined) return { hardware: [], refused: [], bmcs: [] };
  const columns = readHeader(header, findings);
  if (columns === undefined) return { hardware: [], refused: ['of a table that cannot be read'], bmcs: [] };
  const hardware: Located<HardwareManifest>[] = [];
  const refused: string[] = [];
  const bmcs: BmcCells[] = [];
  const fitting: CsvCells[] = [];
  for (const cells of rows) {
    const before = findings.problemCount;
    const row = fitRow(cells, columns, findings);
    if (row !== undefined) fitting.push(row);
    else if (findings.problemCount > before) refused.push(cells[0]?.text ?? '');
  }
  for (const row of fitting) {
    const before = findings.problemCount;
    checkCsvRow(row, findings, claims);
    if (findings.problemCount > before) {
      refused.push(textOf(row, 'hostname'));
      continue;
    }
    hardware.push(hardwareFromCsv(row));
    if (hasBmc(row)) bmcs.push(bmcOf(row));
  }
  warnAboutBmcs(fitting, findings);
  return { hardware, refused, bmcs };
}

function bmcOf(row: CsvCells): BmcCells {
  return {
    hostname: textOf(row, 'hostname'),
    address: textOf(row, 'bmc_ip'),
    username: textOf(row, 'bmc_username'),
    password: textOf(row, 'bmc_password'),
  };
}

const BMC_COLUMNS = ['bmc_ip', 'bmc_username', 'bmc_password'] as const;

/** Column of each position; `undefined` for columns that are ignored. Nothing if required ones are missing. */
function readHeader(header: readonly CsvCell[], findings: Findings): readonly (CsvColumn | undefined)[] | undefined {
  const before = findings.problemCount;
  const seen = new Set<CsvColumn>();
  const unknown: CsvCell[] = [];
  const columns = header.map((cell) => {
    const column = columnOf(cell, findings);
    if (column === undefined) unknown.push(cell);
    else if (seen.has(column)) findings.refuse(cell.at, `the column ${column} is there twice: remove one`, cell.text);
    else seen.add(column);
    return column;
  });
  for (const { text, at } of unknown) {
    const hint = didYouMean(text, CSV_COLUMNS) || `: the columns are ${listed(CSV_COLUMNS, 20)}`;
    findings.warn(at, `the column ${shown(text)} is not known and is ignored${hint}`, text);
  }
  const missing = REQUIRED_COLUMNS.filter((column) => !seen.has(column));
  const at = header[0]?.at;
  if (missing.length > 0 && at !== undefined) findings.refuse(at, missingColumns(missing, header));
  return findings.problemCount > before ? undefined : columns;
}

function columnOf(cell: CsvCell, findings: Findings): CsvColumn | undefined {
  const plain = cell.text.trim().toLowerCase();
  const column = CSV_COLUMNS.find((known) => known === plain);
  if (column !== undefined && column !== cell.text) {
    findings.warn(
      cell.at,
      `the column ${shown(cell.text)} is read as ${column}: EKS Anywhere wants it written so`,
      cell.text,
    );
  }
  return column;
}

function missingColumns(missing: readonly CsvColumn[], header: readonly CsvCell[]): string {
  const hasOtherDelimiter = header.length === 1 && /[;\t|]/.test(header[0]?.text ?? '');
  const fix = hasOtherDelimiter ? 'separate the columns with commas' : 'add them to the first line';
  return `required columns are missing: ${missing.join(', ')}: ${fix}`;
}

/** The cells by their column; `undefined` for a row that cannot be matched to the header. */
function fitRow(
  cells: readonly CsvCell[],
  columns: readonly (CsvColumn | undefined)[],
  findings: Findings,
): CsvCells | undefined {
  const [first] = cells;
  // A line of commas only is what a spreadsheet makes of an empty row.
  if (first === undefined || cells.every((cell) => cell.text.trim() === '')) return undefined;
  const row = new Map<CsvColumn, CsvCell>();
  if (cells.length !== columns.length) {
    const fix = 'give it as many; several labels or nameservers are separated by "|"';
    const fact = `the row of ${shown(first.text)} has ${cells.length} cells and the header ${columns.length}`;
    findings.refuse(first.at, `${fact}: ${fix}`);
    return undefined;
  }
  for (const [index, cell] of cells.entries()) {
    const column = columns[index];
    if (column === undefined) continue;
    row.set(column, column === 'bmc_password' ? cell : trimmed(cell, column, findings));
  }
  return row;
}

function trimmed(cell: CsvCell, column: CsvColumn, findings: Findings): CsvCell {
  const text = cell.text.trim();
  if (text === cell.text) return cell;
  findings.warn(
    cell.at,
    `spaces around the ${column} ${shown(text)} are ignored: EKS Anywhere takes them as part of it`,
    text,
  );
  return { text, at: cell.at };
}

function warnAboutBmcs(rows: readonly CsvCells[], findings: Findings): void {
  const first = rows.find(hasBmc)?.get('hostname');
  if (first === undefined) return;
  findings.warn(first.at, 'this version keeps no BMC credentials: switch the machines on by hand');
  const without = rows.filter((row) => !hasBmc(row)).flatMap((row) => row.get('hostname') ?? []);
  if (without[0] === undefined) return;
  const names = listed(
    without.map(({ text }) => text),
    5,
  );
  const message = `some machines have a BMC and some have none (${names}): EKS Anywhere does not allow the mix`;
  findings.warn(without[0].at, message);
}

function hasBmc(row: CsvCells): boolean {
  return BMC_COLUMNS.some((column) => textOf(row, column) !== '');
}
