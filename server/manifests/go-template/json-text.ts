import { fromData, GoList, GoMap, GoObject, type GoValue, integerOf } from './go-value.ts';
import { functionFault } from './template-error.ts';

/** How Go's encoding/json writes and reads values. */
interface JsonStyle {
  /** Whether `<`, `>` and `&` are escaped, as json.Marshal does. */
  readonly isHtmlSafe: boolean;
  /** Spaces for one level; '' for everything on one line. */
  readonly indent: string;
}

export function toJson(value: GoValue, style: JsonStyle, level = 0): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return jsonString(value, style);
  if (typeof value === 'number') return jsonNumber(value);
  if (typeof value === 'boolean') return String(value);
  if (value instanceof GoObject) return jsonString(value.text, style);
  if (value instanceof GoList) {
    if (value.isNil) return 'null';
    return enclose(
      '[]',
      value.items.map((item) => toJson(item, style, level + 1)),
      style,
      level,
    );
  }
  if (value instanceof GoMap) {
    const pairs = value.sortedKeys().map((key) => {
      const separator = style.indent === '' ? ':' : ': ';
      return jsonString(key, style) + separator + toJson(value.entries.get(key), style, level + 1);
    });
    return enclose('{}', pairs, style, level);
  }
  return String(integerOf(value));
}

/** Reads JSON; every number becomes a float64, as json.Unmarshal into an empty interface does. */
export function fromJson(text: string): GoValue {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw functionFault(`cannot read JSON: ${cause instanceof Error ? cause.message : 'not valid'}`);
  }
  return allFloats(fromData(parsed));
}

/** Turns the integers that `fromData` makes of whole numbers back into floats. */
export function allFloats(value: GoValue): GoValue {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof GoList) return new GoList(value.items.map(allFloats));
  if (value instanceof GoMap) return new GoMap([...value.entries].map(([key, item]) => [key, allFloats(item)]));
  return value;
}

function enclose(brackets: '[]' | '{}', parts: readonly string[], { indent }: JsonStyle, level: number): string {
  const [open = '', close = ''] = brackets;
  if (parts.length === 0) return brackets;
  if (indent === '') return open + parts.join(',') + close;
  const padding = indent.repeat(level + 1);
  return `${open}\n${padding}${parts.join(`,\n${padding}`)}\n${indent.repeat(level)}${close}`;
}

function jsonString(text: string, { isHtmlSafe }: JsonStyle): string {
  // A lone byte becomes the replacement character, written as an escape as Go does.
  const parts = text.split(/[\ud800-\udfff]/u).map((part) => JSON.stringify(part).slice(1, -1));
  const quoted = `"${parts.join('\\ufffd')}"`.replace(/[\u2028\u2029]/g, escapeUnit);
  return isHtmlSafe ? quoted.replace(/[<>&]/g, escapeUnit) : quoted;
}

function escapeUnit(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function jsonNumber(value: number): string {
  if (!Number.isFinite(value)) throw functionFault(`json: unsupported value: ${value}`);
  return Object.is(value, -0) ? '-0' : String(value);
}
