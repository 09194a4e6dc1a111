import { compareVersions, parseVersion, type Version } from './semver-version.ts';
import { functionFault } from './template-error.ts';

const PART = '[0-9]+|[xX*]';
const TERM = new RegExp(
  `^\\s*(=|==|!=|>|<|>=|=>|<=|=<|~|~>|\\^)?\\s*v?(${PART})(?:\\.(${PART}))?(?:\\.(${PART}))?(?:-([0-9A-Za-z.-]+))?(?:\\+[0-9A-Za-z.-]+)?\\s*$`,
);

interface Term {
  readonly operator: string;
  readonly version: Version;
  /** How many of major, minor and patch are given; 0 matches anything. */
  readonly given: 0 | 1 | 2 | 3;
}

/**
 * Whether a version satisfies a constraint such as `>=1.2 <2 || ~3.1`: `||` separates alternatives, commas or spaces what
 * must hold together. A prerelease only satisfies a term that names a prerelease itself.
 */
export function satisfies(version: Version, constraint: string): boolean {
  const alternatives = constraint.split('||').map((alternative) => parseTerms(alternative, constraint));
  return alternatives.some((terms) => terms.every((term) => holds(term, version)));
}

function parseTerms(alternative: string, constraint: string): Term[] {
  const ranged = alternative.replace(/(\S+)\s+-\s+(\S+)/g, '>=$1 <=$2');
  const pieces = ranged
    .replace(/([=!<>~^])\s+/g, '$1')
    .split(/[\s,]+/)
    .filter((piece) => piece !== '');
  if (pieces.length === 0) throw functionFault(`improper constraint: ${constraint}`);
  return pieces.map((piece) => {
    const match = TERM.exec(piece);
    if (match === null) throw functionFault(`improper constraint: ${constraint}: write it like >=1.2.3`);
    return parseTerm(match);
  });
}

function parseTerm([, operator = '', ...parts]: RegExpExecArray): Term {
  const numbers = parts.slice(0, 3);
  const open = numbers.findIndex((part) => part === undefined || /^[xX*]$/.test(part));
  const given = open < 0 ? 3 : open === 0 ? 0 : open === 1 ? 1 : 2;
  const [major = '0', minor = '0', patch = '0'] = numbers.slice(0, given);
  const prerelease = parts[3] === undefined ? '' : `-${parts[3]}`;
  return { operator, given, version: parseVersion(`${major}.${minor}.${patch}${prerelease}`) };
}

type Check = (order: number, term: Term, version: Version) => boolean;

const isSame: Check = (order, term, version) => (term.given < 3 ? isWithin(term, version, term.given) : order === 0);
const isBelow: Check = (order) => order < 0;
const isAtLeast: Check = (order) => order >= 0;
const isAbove: Check = (order, term, version) => order > 0 && !isSame(order, term, version);
const isAtMost: Check = (order, term, version) => order <= 0 || isSame(order, term, version);
const isMinorOf: Check = (order, term, version) => order >= 0 && isWithin(term, version, Math.min(term.given, 2));

const CHECKS: ReadonlyMap<string, Check> = new Map([
  ['', isSame],
  ['=', isSame],
  ['==', isSame],
  ['!=', (order, term, version) => !isSame(order, term, version)],
  ['>', isAbove],
  ['<', isBelow],
  ['>=', isAtLeast],
  ['=>', isAtLeast],
  ['<=', isAtMost],
  ['=<', isAtMost],
  ['^', (order, term, version) => order >= 0 && isWithin(term, version, caretLength(term))],
  ['~', isMinorOf],
  ['~>', isMinorOf],
]);

function holds(term: Term, version: Version): boolean {
  if (version.prerelease !== '' && term.version.prerelease === '') return false;
  return CHECKS.get(term.operator)?.(compareVersions(version, term.version), term, version) ?? false;
}

/** `^` keeps everything up to the first number that is not 0. */
function caretLength({ version, given }: Term): number {
  const [major, minor] = version.numbers;
  if (major > 0n || given <= 1) return Math.min(given, 1);
  return minor > 0n || given === 2 ? 2 : 3;
}

function isWithin(term: Term, version: Version, count: number): boolean {
  return term.version.numbers.slice(0, count).every((number, index) => number === version.numbers[index]);
}
