import { LineCounter, parse } from 'yaml';
import { Findings } from '../findings.ts';
import { tokensOf } from '../yaml-documents.ts';
import { fromData, GoList, GoMap, GoObject, type GoValue, integerOf } from './go-value.ts';
import { allFloats } from './json-text.ts';
import { formatFloat } from './print-number.ts';

/** Reads YAML into a map as Tinkerbell's fromYaml does: numbers become float64; a fault is the value of `Error`. */
export function fromYaml(text: string): GoMap {
  const findings = new Findings();
  tokensOf({ name: 'fromYaml', text }, new LineCounter(), findings);
  const [fault] = findings.problems;
  if (fault !== undefined) return new GoMap([['Error', fault.message]]);
  try {
    const parsed: unknown = parse(text, {
      version: '1.1',
      merge: true,
      maxAliasCount: 100,
      strict: true,
      logLevel: 'silent',
      // Dates stay text, as in Go.
      customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || tag.tag !== 'tag:yaml.org,2002:timestamp'),
    });
    const value = allFloats(fromData(parsed ?? {}));
    if (value instanceof GoMap) return value;
    return new GoMap([['Error', 'error unmarshaling JSON: the YAML is not a map']]);
  } catch (cause) {
    return new GoMap([['Error', cause instanceof Error ? cause.message : 'not valid YAML']]);
  }
}

/** Writes YAML in the layout of Go's YAML library: sorted keys, lists not indented below their key. */
export function toYaml(value: GoValue): string {
  return block(value, 0).replace(/^\n/, '');
}

/** The text that follows `key:` or `-`, from its space or line feed on. */
function block(value: GoValue, level: number, isInList = false): string {
  if (value instanceof GoMap && value.entries.size > 0) return blockMap(value, level, isInList);
  if (value instanceof GoList && value.items.length > 0) return blockList(value, level, isInList);
  return scalar(value, level);
}

function blockMap(map: GoMap, level: number, isInList: boolean): string {
  const padding = '  '.repeat(level);
  const keys = [...map.entries.keys()].toSorted(compareNaturally);
  const lines = keys.map((key) => {
    const value = map.entries.get(key);
    const depth = value instanceof GoList ? level : level + 1;
    return `${padding}${keyText(key)}:${separated(block(value, depth))}`;
  });
  const text = lines.join('\n');
  return isInList ? text.slice(padding.length) : `\n${text}`;
}

function blockList(list: GoList, level: number, isInList: boolean): string {
  const padding = '  '.repeat(level);
  const text = list.items.map((item) => `${padding}-${separated(block(item, level + 1, true))}`).join('\n');
  return isInList ? text.slice(padding.length) : `\n${text}`;
}

function separated(text: string): string {
  return text.startsWith('\n') ? text : ` ${text}`;
}

function scalar(value: GoValue, level: number): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return stringScalar(value, level);
  if (typeof value === 'number')
    return Number.isInteger(value) && Math.abs(value) < 1e21 ? String(value) : formatFloat(value, 'g');
  if (value instanceof GoMap) return '{}';
  if (value instanceof GoList) return value.isNil ? 'null' : '[]';
  return value instanceof GoObject ? stringScalar(value.text, level) : String(integerOf(value));
}

function keyText(key: string): string {
  if (key.includes('\n')) return doubleQuoted(key);
  return stringScalar(key, 0);
}

function stringScalar(raw: string, level: number): string {
  const text = raw.toWellFormed();
  const isOdd = /[^\n\u0020-\u007e\u00a0-\ud7ff\ue000-\ufefe\uff00-\ufffd]/u.test(text);
  if (isOdd) return doubleQuoted(text);
  if (text.includes('\n'))
    return / \n/.test(text) || text.endsWith(' ') ? doubleQuoted(text) : literalBlock(text, level);
  if (looksLikeOtherType(text)) return doubleQuoted(text);
  return isPlain(text) ? text : `'${text.replaceAll("'", "''")}'`;
}

/** `|` with the indentation and the ending that keep the text as it is. */
function literalBlock(text: string, level: number): string {
  const indentation = Math.max(level, 1);
  const hint = /^[ \n]/.test(text) ? '2' : '';
  const chomp = text.endsWith('\n') ? (text.endsWith('\n\n') || text === '\n' ? '+' : '') : '-';
  const padding = '  '.repeat(indentation);
  const lines = text.replace(/\n$/, '').split('\n');
  return `|${hint}${chomp}\n${lines.map((line) => (line === '' ? '' : padding + line)).join('\n')}`;
}

/** What YAML 1.1 would read as null, bool, number, date, merge key or base 60 number. */
function looksLikeOtherType(text: string): boolean {
  return (
    /^(?:|~|null|Null|NULL|<<)$/.test(text) ||
    /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF|true|True|TRUE|false|False|FALSE)$/.test(text) ||
    /^[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)$/.test(text) ||
    /^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$/.test(text) ||
    /^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$/.test(text) ||
    /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?$/.test(text) ||
    /^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:$|[Tt ])/.test(text)
  );
}

function isPlain(text: string): boolean {
  return !(
    /^(?:[-?:](?: |$)|[,[\]{}#&*!|>'"%@`])/.test(text) ||
    /^(?:---|\.\.\.)/.test(text) ||
    /^ | $/.test(text) ||
    /: | #|:$/.test(text)
  );
}

const YAML_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\t': '\\t',
  '\r': '\\r',
  '\0': '\\0',
  '\u0007': '\\a',
  '\b': '\\b',
  '\v': '\\v',
  '\f': '\\f',
  '\u001b': '\\e',
  '\u0085': '\\N',
  '\u2028': '\\L',
  '\u2029': '\\P',
  '\ufeff': '\\uFEFF',
};

function doubleQuoted(text: string): string {
  const escaped = text.replace(
    // oxlint-disable-next-line no-control-regex -- control characters are what it is about
    /["\\\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff]|[\u{10000}-\u{10ffff}]/gu,
    (character) => {
      const code = character.codePointAt(0) ?? 0;
      if (code > 0xffff) return `\\U${code.toString(16).toUpperCase().padStart(8, '0')}`;
      return YAML_ESCAPES[character] ?? `\\x${code.toString(16).toUpperCase().padStart(2, '0')}`;
    },
  );
  return `"${escaped}"`;
}

/** The order of keys in Go's YAML library: numbers inside names count as numbers, letters come after everything else. */
function compareNaturally(a: string, b: string): number {
  const [x, y] = [Array.from(a), Array.from(b)];
  const at = x.findIndex((character, index) => character !== y[index]);
  const [one, two] = [x[at], y[at]];
  if (at < 0 || one === undefined || two === undefined) return x.length - y.length;
  const [isLetterA, isLetterB] = [/\p{L}/u.test(one), /\p{L}/u.test(two)];
  const codes = (one.codePointAt(0) ?? 0) - (two.codePointAt(0) ?? 0);
  if (isLetterA && isLetterB) return codes;
  if (isLetterA || isLetterB) return isLetterA === isDigit(x[at - 1]) ? -1 : 1;
  return compareNumbers(digitsFrom(x, at), digitsFrom(y, at)) || codes;
}

function isDigit(character: string | undefined): boolean {
  return character !== undefined && /[0-9]/.test(character);
}

/** The digits from `at` on, with a 1 before them if other digits than zeros stand there, so that zeros count. */
function digitsFrom(characters: readonly string[], at: number): string {
  const text = characters.join('');
  const start = characters.slice(0, at).join('').length;
  const prefix = /[0-9]*$/.exec(text.slice(0, start))?.[0] ?? '';
  return (/[1-9]/.test(prefix) ? '1' : '') + (/^[0-9]*/.exec(text.slice(start))?.[0] ?? '');
}

function compareNumbers(a: string, b: string): number {
  const difference = BigInt(a === '' ? 0 : a) - BigInt(b === '' ? 0 : b);
  return difference === 0n ? a.length - b.length : difference < 0n ? -1 : 1;
}
