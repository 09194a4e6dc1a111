/** What we write of TOML 1.0: tables, arrays of tables, arrays of scalars, strings, whole numbers, booleans. */
export type TomlValue = string | number | boolean | readonly (string | number | boolean)[];
export interface TomlTable {
  readonly [key: string]: TomlValue | TomlTable | readonly TomlTable[] | undefined;
}

/** A document; keys that are undefined are left out, and so are tables in which nothing is. */
export function tomlText(table: TomlTable): string {
  return `${sections(table, []).join('\n\n')}\n`;
}

function sections(table: TomlTable, path: readonly string[], header = `[${path.map(keyText).join('.')}]`): string[] {
  const lines: string[] = [];
  const below: string[] = [];
  for (const [key, value] of Object.entries(table)) {
    if (value === undefined) continue;
    const inner = [...path, key];
    if (isTables(value)) {
      const name = `[[${inner.map(keyText).join('.')}]]`;
      below.push(...value.flatMap((element) => sections(element, inner, name)));
    } else if (isTable(value)) below.push(...sections(value, inner));
    else lines.push(`${keyText(key)} = ${valueText(value)}`);
  }
  if (lines.length === 0) return below;
  // A document's own keys come before its first header.
  return [path.length === 0 ? lines.join('\n') : `${header}\n${lines.join('\n')}`, ...below];
}

function isTables(value: TomlTable[string]): value is readonly TomlTable[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'object');
}

function isTable(value: TomlTable[string]): value is TomlTable {
  return typeof value === 'object' && !Array.isArray(value);
}

function keyText(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : stringText(key);
}

function valueText(value: TomlValue): string {
  if (typeof value === 'string') return stringText(value);
  if (typeof value === 'object') return `[${value.map(valueText).join(', ')}]`;
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new TypeError(`cannot write ${value} to TOML: it is not a whole number`);
  }
  return String(value);
}

/** A basic string; JSON escapes all that TOML does except DEL, and in the same way. */
function stringText(text: string): string {
  return JSON.stringify(text.toWellFormed()).replaceAll('\u007f', '\\u007F');
}
