/** Characters and character classes of RE2 expressions. */
import { functionFault } from './template-error.ts';

/** Whether one character (a string of one code point) belongs to the set. */
export type CharacterSet = (character: string) => boolean;

interface Read {
  readonly set: CharacterSet;
  readonly end: number;
}

const PERL_CLASSES: Readonly<Record<string, RegExp>> = { d: /^[0-9]$/, s: /^[\t\n\f\r ]$/, w: /^[0-9A-Za-z_]$/ };
const POSIX_CLASSES: Readonly<Record<string, RegExp>> = {
  alnum: /^[0-9A-Za-z]$/,
  alpha: /^[A-Za-z]$/,
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  ascii: /^[\u0000-\u007f]$/,
  blank: /^[\t ]$/,
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  cntrl: /^[\u0000-\u001f\u007f]$/,
  digit: /^[0-9]$/,
  graph: /^[!-~]$/,
  lower: /^[a-z]$/,
  print: /^[ -~]$/,
  punct: /^[!-/:-@[-`{-~]$/,
  space: /^[\t\n\v\f\r ]$/,
  upper: /^[A-Z]$/,
  word: /^[0-9A-Za-z_]$/,
  xdigit: /^[0-9A-Fa-f]$/,
};
const CONTROL_LETTERS: Readonly<Record<string, string>> = { a: '\u0007', f: '\f', t: '\t', n: '\n', r: '\r', v: '\v' };

/** Reads `[…]` at `start`. */
export function parseClass(pattern: string, start: number): Read {
  let at = start + 1;
  const isNegated = pattern[at] === '^';
  if (isNegated) at++;
  const sets: CharacterSet[] = [];
  for (let isFirst = true; isFirst || pattern[at] !== ']'; isFirst = false) {
    if (at >= pattern.length) throw fault('missing closing ]', pattern.slice(start));
    const { set, end } = classItem(pattern, at);
    sets.push(set);
    at = end;
  }
  const isInAny: CharacterSet = (character) => sets.some((has) => has(character));
  return { set: isNegated ? (character) => !isInAny(character) : isInAny, end: at + 1 };
}

function classItem(pattern: string, at: number): Read {
  const posix = /^\[:(\^?)([a-z]+):\]/.exec(pattern.slice(at, at + 20));
  if (posix !== null) {
    const known = POSIX_CLASSES[posix[2] ?? ''];
    if (known === undefined) throw fault('invalid character class range', posix[0]);
    return { set: tester(known, posix[1] === '^'), end: at + posix[0].length };
  }
  const escaped = parseEscapedClass(pattern, at);
  if (escaped !== undefined) return escaped;
  const low = readCharacter(pattern, at);
  if (pattern[low.end] !== '-' || pattern[low.end + 1] === ']' || low.end + 1 >= pattern.length) {
    return { set: (character) => character === low.character, end: low.end };
  }
  const high = readCharacter(pattern, low.end + 1);
  const [from, to] = [low.character.codePointAt(0) ?? 0, high.character.codePointAt(0) ?? 0];
  if (to < from) throw fault('invalid character class range', pattern.slice(at, high.end));
  return {
    set: (character) => {
      const code = character.codePointAt(0) ?? 0;
      return code >= from && code <= to;
    },
    end: high.end,
  };
}

/** Reads `\d`, `\S`, `\pL`, `\P{Greek}` … at `at`; undefined if something else is there. */
export function parseEscapedClass(pattern: string, at: number): Read | undefined {
  const rest = pattern.slice(at, at + 40);
  const perl = /^\\([dswDSW])/.exec(rest)?.[1];
  if (perl !== undefined) {
    const known = PERL_CLASSES[perl.toLowerCase()];
    if (known !== undefined) return { set: tester(known, perl !== perl.toLowerCase()), end: at + 2 };
  }
  const unicode = /^\\([pP])(?:\{(\^?)([A-Za-z_]+)\}|([A-Z]))/.exec(rest);
  if (unicode === null) return undefined;
  const name = unicode[3] ?? unicode[4] ?? '';
  const isNegated = (unicode[1] === 'P') !== (unicode[2] === '^');
  return { set: unicodeSet(name, isNegated, unicode[0]), end: at + unicode[0].length };
}

/** Reads one escaped character at `at`. */
export function singleCharacter(pattern: string, at: number): Read {
  const { character, end } = readCharacter(pattern, at);
  return { set: (one) => one === character, end };
}

/** A set that also holds the small and capital forms of its characters. */
export function foldCase(has: CharacterSet): CharacterSet {
  return (character) => has(character) || has(character.toLowerCase()) || has(character.toUpperCase());
}

function readCharacter(pattern: string, at: number): { character: string; end: number } {
  const character = String.fromCodePoint(pattern.codePointAt(at) ?? 0);
  if (character !== '\\') return { character, end: at + character.length };
  const numeric = /^\\(?:x\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|(0[0-7]{0,2}|[1-7][0-7]{2}))/.exec(
    pattern.slice(at, at + 12),
  );
  if (numeric !== null) {
    const hexadecimal = numeric[1] ?? numeric[2];
    const code = hexadecimal === undefined ? Number.parseInt(numeric[3] ?? '', 8) : Number.parseInt(hexadecimal, 16);
    if (code > 0x10ffff) throw fault('invalid escape sequence', numeric[0]);
    return { character: String.fromCodePoint(code), end: at + numeric[0].length };
  }
  const escaped = String.fromCodePoint(pattern.codePointAt(at + 1) ?? 0);
  if (at + 1 >= pattern.length) throw fault('trailing backslash at end of expression', '');
  const control = CONTROL_LETTERS[escaped];
  if (control !== undefined) return { character: control, end: at + 2 };
  if (/^[!-/:-@[-`{-~]$/.test(escaped)) return { character: escaped, end: at + 2 };
  throw fault('invalid escape sequence', `\\${escaped}`);
}

function unicodeSet(name: string, isNegated: boolean, fragment: string): CharacterSet {
  if (name === 'Any') return () => !isNegated;
  for (const property of [`General_Category=${name}`, `Script=${name}`]) {
    try {
      return tester(new RegExp(`^\\p{${property}}$`, 'u'), isNegated);
    } catch {
      // It is not a name of this property; the next may know it.
    }
  }
  throw fault('invalid character class range', fragment);
}

function tester(expression: RegExp, isNegated: boolean): CharacterSet {
  return (character) => expression.test(character) !== isNegated;
}

function fault(reason: string, fragment: string): Error {
  return functionFault(`error parsing regexp: ${reason}: \`${fragment}\``);
}
