/** What firmware says when nobody filled the field in. */
const PLACEHOLDERS =
  /^(to be filled by o\.?e\.?m\.?|not (specified|applicable|available|present)|default string|system (product name|manufacturer|serial number|version)|none|null|n\/a|unknown|empty|0+|0?123456789|x+|\.+)$/i;

const MAX_LENGTH = 256;

/** A field's value as the inventory may carry it: printable, bounded; undefined when it says nothing. */
export function inventoryText(raw: string | undefined): string | undefined {
  if (raw === undefined) return undefined;
  // oxlint-disable-next-line eslint/no-control-regex -- control characters are what is removed
  const text = raw.replaceAll(/[\u0000-\u001f\u007f\ufffd]+/g, ' ').trim();
  if (text === '' || PLACEHOLDERS.test(text)) return undefined;
  return text.slice(0, MAX_LENGTH);
}

/** The fields that say something: absent ones are left out. */
export function knownTexts<N extends string>(
  fields: Readonly<Record<N, string | undefined>>,
): { readonly [K in N]?: string } {
  const known: { [K in N]?: string } = {};
  for (const name in fields) {
    const text = inventoryText(fields[name]);
    if (text !== undefined) known[name] = text;
  }
  return known;
}
