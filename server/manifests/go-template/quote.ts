/** Go's quoted strings and characters: what strconv's Quote, Unquote and UnquoteChar do. */

const LETTER_ESCAPES: ReadonlyMap<string, number> = new Map([
  ['a', 7],
  ['b', 8],
  ['f', 12],
  ['n', 10],
  ['r', 13],
  ['t', 9],
  ['v', 11],
  ['\\', 92],
]);
const ESCAPE_LETTERS = new Map([...LETTER_ESCAPES].map(([letter, code]) => [code, letter]));

/** Quotes like Go's `%q`: printable characters as they are, everything else escaped. */
export function quoteGo(text: string, quote = '"', isAscii = false): string {
  let result = quote;
  for (const character of text) result += escapeCharacter(character, quote, isAscii);
  return result + quote;
}

function escapeCharacter(character: string, quote: string, isAscii: boolean): string {
  const code = character.codePointAt(0) ?? 0;
  const letter = ESCAPE_LETTERS.get(code);
  if (letter !== undefined) return `\\${letter}`;
  if (character === quote) return `\\${quote}`;
  if (code >= 0xdc80 && code <= 0xdcff) return `\\x${(code - 0xdc00).toString(16)}`;
  if (isPrintable(character) && (!isAscii || code < 0x80)) return character;
  if (code < 0x20 || code === 0x7f) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** Go's unicode.IsPrint: letters, marks, numbers, punctuation, symbols, and of all spaces only U+0020. */
export function isPrintable(character: string): boolean {
  return character === ' ' || /^[\p{L}\p{M}\p{N}\p{P}\p{S}]$/u.test(character);
}

/**
 * The text that a literal of a template stands for, or undefined if it is not valid Go: `"…"` with escapes,
 * `` `…` `` without (carriage returns dropped), `'…'` one character. Bytes from `\x` and octal escapes that make no
 * UTF-8 stay lone bytes.
 */
export function unquoteGo(literal: string, fromBytes: (bytes: Uint8Array) => string): string | undefined {
  const quote = literal[0];
  const inner = literal.slice(1, -1);
  if (quote === '`') return inner.includes('`') ? undefined : inner.replaceAll('\r', '');
  const bytes: number[] = [];
  let count = 0;
  for (let at = 0; at < inner.length; count++) {
    const unit = readUnit(inner, at, quote === "'" ? "'" : '"');
    if (unit === undefined) return undefined;
    bytes.push(...unit.bytes);
    at += unit.length;
  }
  if (quote === "'" && count !== 1) return undefined;
  return fromBytes(Uint8Array.from(bytes));
}

interface Unit {
  readonly bytes: Iterable<number>;
  readonly length: number;
}

function readUnit(text: string, at: number, quote: string): Unit | undefined {
  const character = String.fromCodePoint(text.codePointAt(at) ?? 0);
  if (character !== '\\') {
    if (character === quote || character === '\n') return undefined;
    return { bytes: Buffer.from(character), length: character.length };
  }
  const next = text[at + 1] ?? '';
  const simple = next === quote ? quote.charCodeAt(0) : LETTER_ESCAPES.get(next);
  if (simple !== undefined) return { bytes: [simple], length: 2 };
  return readNumericEscape(text.slice(at + 1, at + 10));
}

function readNumericEscape(text: string): Unit | undefined {
  const octal = /^[0-7]{3}/.exec(text);
  if (octal !== null) {
    const value = Number.parseInt(octal[0], 8);
    return value > 255 ? undefined : { bytes: [value], length: 4 };
  }
  const hexadecimal = /^(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})/.exec(text);
  if (hexadecimal === null) return undefined;
  const value = Number.parseInt(hexadecimal[0].slice(1), 16);
  const length = hexadecimal[0].length + 1;
  if (text.startsWith('x')) return { bytes: [value], length };
  if (value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) return undefined;
  return { bytes: Buffer.from(String.fromCodePoint(value)), length };
}
