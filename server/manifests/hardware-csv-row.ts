import type { Claims } from './claims.ts';
import type { CsvCell } from './csv-table.ts';
import { faultOfDisk } from './disk-reader.ts';
import { cut, type Findings, shown } from './findings.ts';
import { faultOfVlan } from './hardware-reader.ts';
import { faultOfIp, faultOfIpv4, faultOfMac, faultsOfAddressPlan, normaliseMac } from './network-address.ts';
import { faultOfLabelKey, faultOfLabelValue, faultOfObjectName } from './object-names.ts';

export const REQUIRED_COLUMNS = [
  'hostname',
  'mac',
  'ip_address',
  'netmask',
  'gateway',
  'nameservers',
  'disk',
  'labels',
] as const;

export const CSV_COLUMNS = [...REQUIRED_COLUMNS, 'bmc_ip', 'bmc_username', 'bmc_password', 'vlan_id'] as const;

export type CsvColumn = (typeof CSV_COLUMNS)[number];
export type CsvCells = ReadonlyMap<CsvColumn, CsvCell>;

/** Checks one row and claims what must be its own. Every fault is told, with the place of its cell and the host name. */
export function checkCsvRow(row: CsvCells, findings: Findings, claims: Claims): void {
  const check: RowCheck = { row, findings, claims, hostname: cut(textOf(row, 'hostname')) };
  checkCell(check, 'hostname', faultOfObjectName);
  checkCell(check, 'mac', faultOfMac);
  checkAddresses(check);
  checkPieces(check, 'nameservers', faultOfIp);
  checkPieces(check, 'labels', faultOfLabel);
  checkLabelKeys(check);
  checkCell(check, 'disk', faultOfDisk);
  if (textOf(row, 'vlan_id') !== '') checkCell(check, 'vlan_id', faultOfVlan);
  checkBmc(check);
  claimIdentity(check);
}

/** Text of a cell; empty if the column is not there. */
export function textOf(row: CsvCells, column: CsvColumn): string {
  return row.get(column)?.text ?? '';
}

/** The parts of a cell that holds several values, `a|b`. */
export function piecesOf(row: CsvCells, column: 'nameservers' | 'labels'): readonly string[] {
  const text = textOf(row, column);
  return text === '' ? [] : text.split('|').map((piece) => piece.trim());
}

/** Key and value of a label as it stands in a cell, `key=value`. */
export function labelOf(piece: string): readonly [key: string, value: string] {
  const equals = piece.indexOf('=');
  return [piece.slice(0, equals).trim(), piece.slice(equals + 1).trim()];
}

interface RowCheck {
  readonly row: CsvCells;
  readonly findings: Findings;
  readonly claims: Claims;
  readonly hostname: string;
}

function checkCell(check: RowCheck, column: CsvColumn, faultOf: (text: string) => string | undefined): boolean {
  const text = textOf(check.row, column);
  const fault = text === '' ? `is empty: fill in the column ${column}` : faultOf(text);
  if (fault === undefined) return true;
  refuseCell(check, column, fault);
  return false;
}

function refuseCell(check: RowCheck, column: CsvColumn, fault: string, shownText?: string): void {
  const cell = check.row.get(column);
  if (cell === undefined) return;
  const text = shownText ?? cell.text;
  const subject = text === '' ? column : `${column} ${shown(text)}`;
  check.findings.refuse(cell.at, `${check.hostname || 'a row without hostname'}: ${subject} ${fault}`, text);
}

const PLAN_COLUMNS = { address: 'ip_address', netmask: 'netmask', gateway: 'gateway' } as const;

function checkAddresses(check: RowCheck): void {
  const columns = Object.values(PLAN_COLUMNS);
  const empty = columns.filter((column) => textOf(check.row, column) === '');
  for (const column of empty) refuseCell(check, column, `is empty: fill in the column ${column}`);
  const [address = '', netmask = '', gateway = ''] = columns.map((column) => textOf(check.row, column));
  for (const { part, fault } of faultsOfAddressPlan({ address, netmask, gateway })) {
    const column = PLAN_COLUMNS[part];
    if (!empty.includes(column)) refuseCell(check, column, fault);
  }
}

function checkPieces(
  check: RowCheck,
  column: 'nameservers' | 'labels',
  faultOf: (piece: string) => string | undefined,
) {
  const pieces = piecesOf(check.row, column);
  if (pieces.length === 0 && column === 'nameservers') {
    refuseCell(check, column, 'is empty: write at least one address');
  }
  for (const piece of pieces) {
    const fault = piece === '' ? 'has an empty part: remove the "|" too many' : faultOf(piece);
    if (fault !== undefined) refuseCell(check, column, fault, piece === '' ? undefined : piece);
  }
}

function faultOfLabel(piece: string): string | undefined {
  if (piece.split('=').length !== 2) return 'is not one key=value: separate several labels with "|"';
  const [key, value] = labelOf(piece);
  return faultOfLabelKey(key) ?? faultOfLabelValue(value);
}

function checkLabelKeys(check: RowCheck): void {
  const seen = new Set<string>();
  for (const piece of piecesOf(check.row, 'labels')) {
    const [key] = labelOf(piece);
    if (seen.has(key) && key !== '') refuseCell(check, 'labels', `gives the label ${shown(key)} twice: remove one`);
    seen.add(key);
  }
}

function checkBmc(check: RowCheck): void {
  const [address, username, password] = (['bmc_ip', 'bmc_username', 'bmc_password'] as const).map((column) =>
    textOf(check.row, column),
  );
  if (!address && !username && !password) return;
  const cell = check.row.get('bmc_ip') ?? check.row.get('bmc_username') ?? check.row.get('bmc_password');
  if (!address || !username || !password) {
    const message = `${check.hostname}: the BMC is given in part: fill in bmc_ip, bmc_username and bmc_password, or none of them`;
    if (cell !== undefined) check.findings.refuse(cell.at, message);
    return;
  }
  const isAddress = checkCell(check, 'bmc_ip', faultOfIpv4);
  if (isAddress && cell !== undefined)
    check.claims.claim('IP address', address, `the BMC of ${check.hostname}`, cell.at);
}

function claimIdentity(check: RowCheck): void {
  const { row, claims } = check;
  const written = textOf(row, 'hostname');
  const isName = faultOfObjectName(written) === undefined;
  const owner = `Hardware ${isName ? written : check.hostname}`;
  const host = row.get('hostname');
  const mac = row.get('mac');
  const address = row.get('ip_address');
  if (host !== undefined && isName) claims.claimName('Hardware', written, host.at);
  const normal = mac === undefined ? undefined : normaliseMac(mac.text);
  if (mac !== undefined && normal !== undefined) claims.claim('MAC', normal, owner, mac.at);
  if (address !== undefined && faultOfIpv4(address.text) === undefined) {
    claims.claim('IP address', address.text, owner, address.at);
  }
}
