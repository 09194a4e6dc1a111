import { type Arguments, deep, type FunctionTable } from './go-function.ts';
import { fromBytes, GoList, GoMap, type GoValue, stringList, toBytes } from './go-value.ts';
import { formatValue } from './printf.ts';
import { quoteGo } from './quote.ts';
import { functionFault } from './template-error.ts';
import { camelCase, initials, joinWords, swapCase, titleCase, uncapitalize } from './word-case.ts';

/** What Go's unicode.IsSpace holds for space. */
const SPACE = '[\\t\\n\\v\\f\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]';
const SPACES_AROUND = new RegExp(`^${SPACE}+|${SPACE}+$`, 'g');
const ANY_SPACE = new RegExp(SPACE, 'g');

/** Sprig's functions on strings. */
export const STRING_FUNCTIONS: FunctionTable = {
  hello: deep([], () => 'Hello!'),
  abbrev: deep(['int', 'string'], (given) => abbreviate(given.string(1), 0, given.int(0))),
  abbrevboth: deep(['int', 'int', 'string'], (given) => abbreviateBoth(given)),
  trunc: deep(['int', 'string'], (given) => truncateBytes(given.string(1), given.int(0))),
  trim: deep(['string'], (given) => given.string(0).replace(SPACES_AROUND, '')),
  upper: deep(['string'], (given) => mapCharacters(given.string(0), (one) => one.toUpperCase())),
  lower: deep(['string'], (given) => mapCharacters(given.string(0), (one) => one.toLowerCase())),
  title: deep(['string'], (given) => titleCase(given.string(0))),
  untitle: deep(['string'], (given) => uncapitalize(given.string(0))),
  substr: deep(['int', 'int', 'string'], substring),
  repeat: deep(['int', 'string'], (given, budget) => {
    const count = given.int(0);
    if (count < 0) throw functionFault('strings: negative Repeat count');
    const text = given.string(1);
    budget.spendText(count * text.length);
    return text === '' ? '' : text.repeat(count);
  }),
  trimall: deep(['string', 'string'], (given) => trimCharacters(given.string(1), given.string(0))),
  trimAll: deep(['string', 'string'], (given) => trimCharacters(given.string(1), given.string(0))),
  trimSuffix: deep(['string', 'string'], (given) => {
    const [suffix, text] = [given.string(0), given.string(1)];
    return text.endsWith(suffix) ? text.slice(0, text.length - suffix.length) : text;
  }),
  trimPrefix: deep(['string', 'string'], (given) => {
    const [prefix, text] = [given.string(0), given.string(1)];
    return text.startsWith(prefix) ? text.slice(prefix.length) : text;
  }),
  nospace: deep(['string'], (given) => given.string(0).replace(ANY_SPACE, '')),
  initials: deep(['string'], (given) => initials(given.string(0))),
  swapcase: deep(['string'], (given) => swapCase(given.string(0))),
  snakecase: deep(['string'], (given) => joinWords(given.string(0), '_')),
  kebabcase: deep(['string'], (given) => joinWords(given.string(0), '-')),
  camelcase: deep(['string'], (given) => camelCase(given.string(0))),
  wrap: deep(['int', 'string'], (given) => wrapWords(given.string(1), given.int(0), '\n', false)),
  wrapWith: deep(['int', 'string', 'string'], (given, budget) => {
    budget.spendText(given.string(1).length * given.string(2).length);
    return wrapWords(given.string(2), given.int(0), given.string(1) || '\n', true);
  }),
  contains: deep(['string', 'string'], (given) => given.string(1).includes(given.string(0))),
  hasPrefix: deep(['string', 'string'], (given) => given.string(1).startsWith(given.string(0))),
  hasSuffix: deep(['string', 'string'], (given) => given.string(1).endsWith(given.string(0))),
  quote: deep(
    [],
    (given) =>
      present(given.all)
        .map((value) => quoteGo(textOf(value)))
        .join(' '),
    'interface {}',
  ),
  squote: deep(
    [],
    (given) =>
      present(given.all)
        .map((value) => `'${formatValue(value)}'`)
        .join(' '),
    'interface {}',
  ),
  cat: deep([], (given) => present(given.all).map(formatValue).join(' '), 'interface {}'),
  indent: deep(['int', 'string'], (given, budget) => {
    budget.spendText(given.string(1).split('\n').length * given.int(0));
    return indent(given.int(0), given.string(1));
  }),
  nindent: deep(['int', 'string'], (given, budget) => {
    budget.spendText(given.string(1).split('\n').length * given.int(0));
    return `\n${indent(given.int(0), given.string(1))}`;
  }),
  replace: deep(['string', 'string', 'string'], (given, budget) => {
    const [old, replacement, text] = [given.string(0), given.string(1), given.string(2)];
    const parts = old === '' ? ['', ...Array.from(text), ''] : text.split(old);
    budget.spendText(text.length + parts.length * replacement.length);
    return parts.join(replacement);
  }),
  plural: deep(['string', 'string', 'int'], (given) => (given.int(2) === 1 ? given.string(0) : given.string(1))),
  toString: deep(['interface {}'], (given) => textOf(given.value(0))),
  toStrings: deep(['interface {}'], (given) => stringList(textsOf(given.value(0)))),
  join: deep(['string', 'interface {}'], (given, budget) => {
    const texts = textsOf(given.value(1));
    budget.spendText(texts.length * given.string(0).length);
    return texts.join(given.string(0));
  }),
  split: deep(['string', 'string'], (given) => numbered(splitText(given.string(1), given.string(0)))),
  splitn: deep(['string', 'int', 'string'], (given) => {
    return numbered(splitLimited(given.string(2), given.string(0), given.int(1)));
  }),
  splitList: deep(['string', 'string'], (given) => stringList(splitText(given.string(1), given.string(0)))),
};

/** Sprig's text of any value. */
export function textOf(value: GoValue): string {
  return typeof value === 'string' ? value : formatValue(value);
}

/** The items of a list as texts without the nil ones; a single value is a list of one. */
export function textsOf(value: GoValue): string[] {
  if (value instanceof GoList) return present(value.items).map(textOf);
  return value === null || value === undefined ? [] : [textOf(value)];
}

function present(values: readonly GoValue[]): GoValue[] {
  return values.filter((value) => value !== null && value !== undefined);
}

/** Go maps one character to one: those that would become several stay as they are. */
function mapCharacters(text: string, change: (character: string) => string): string {
  return Array.from(text, (character) => {
    const changed = change(character);
    return Array.from(changed).length === 1 ? changed : character;
  }).join('');
}

function indent(spaces: number, text: string): string {
  if (spaces < 0) throw functionFault('strings: negative Repeat count');
  const padding = ' '.repeat(spaces);
  return padding + text.replaceAll('\n', () => `\n${padding}`);
}

/** Splits like strings.Split: an empty separator cuts between characters. */
function splitText(text: string, separator: string): string[] {
  return separator === '' ? Array.from(text) : text.split(separator);
}

function splitLimited(text: string, separator: string, limit: number): string[] {
  const parts = splitText(text, separator);
  if (limit < 0 || parts.length <= limit) return parts;
  if (limit === 0) return [];
  return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)];
}

function numbered(parts: readonly string[]): GoMap {
  return new GoMap(
    parts.map((part, index) => [`_${index}`, part]),
    'string',
  );
}

function trimCharacters(text: string, characters: string): string {
  const unwanted = new Set(characters);
  const all = Array.from(text);
  const start = all.findIndex((character) => !unwanted.has(character));
  const end = all.findLastIndex((character) => !unwanted.has(character));
  return start < 0 ? '' : all.slice(start, end + 1).join('');
}

function sliceText(text: string, start: number, end?: number): string {
  return fromBytes(toBytes(text).subarray(start, end));
}

function truncateBytes(text: string, count: number): string {
  const { length } = toBytes(text);
  if (count < 0) return length + count > 0 ? sliceText(text, length + count) : text;
  return length > count ? sliceText(text, 0, count) : text;
}

function substring(given: Arguments): string {
  const [start, end, text] = [given.int(0), given.int(1), given.string(2)];
  const { length } = toBytes(text);
  const from = Math.max(start, 0);
  const to = start >= 0 && (end < 0 || end > length) ? length : end;
  if (to < from || to > length)
    throw functionFault(`slice bounds out of range [${start}:${end}] with length ${length}`);
  return sliceText(text, from, to);
}

/** Shortens to `width` bytes with `...`; `offset` is where the kept part may start. */
function abbreviate(text: string, offset: number, width: number): string {
  const { length } = toBytes(text);
  if (width < 4 || length <= width) return text;
  let start = Math.min(offset, length);
  if (length - start < width - 3) start = length - (width - 3);
  if (start <= 4) return `${sliceText(text, 0, width - 3)}...`;
  if (width < 7) return '';
  if (start + width - 3 < length) return `...${abbreviateTail(sliceText(text, start), width - 3)}`;
  return `...${sliceText(text, length - (width - 3))}`;
}

function abbreviateTail(text: string, width: number): string {
  return toBytes(text).length <= width ? text : `${sliceText(text, 0, width - 3)}...`;
}

function abbreviateBoth(given: Arguments): string {
  const [left, right, text] = [given.int(0), given.int(1), given.string(2)];
  if (right < 4 || (left > 0 && right < 7)) return text;
  return abbreviate(text, left, right);
}

/** Breaks lines at spaces after at most `width` bytes; longer words are cut only if `cutWords`. */
function wrapWords(text: string, width: number, lineEnd: string, cutWords: boolean): string {
  const bytes = toBytes(text);
  const limit = Math.max(width, 1);
  const lines: Buffer[] = [];
  let at = 0;
  while (bytes.length - at > limit) {
    if (bytes[at] === 0x20) {
      at++;
      continue;
    }
    const space = bytes.subarray(at, at + limit + 1).lastIndexOf(0x20);
    let end = space >= 0 ? at + space : at + limit;
    if (space < 0 && !cutWords) {
      const next = bytes.indexOf(0x20, at + limit);
      if (next < 0) break;
      end = next;
    }
    lines.push(bytes.subarray(at, end), Buffer.from(lineEnd));
    at = space < 0 && cutWords ? end : end + 1;
  }
  return fromBytes(Buffer.concat([...lines, bytes.subarray(at)]));
}
