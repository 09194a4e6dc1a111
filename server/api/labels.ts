/** `['a=b']` → `{a: 'b'}`. The query schema made sure of the `=`. */
export function parseLabels(pairs: readonly string[] | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    (pairs ?? []).map((pair) => {
      const equals = pair.indexOf('=');
      return [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

/** Whether a record carries all of the wanted labels. */
export function hasLabels(
  record: { readonly labels: Readonly<Record<string, string>> },
  wanted: Readonly<Record<string, string>>,
): boolean {
  return Object.entries(wanted).every(
    ([key, value]) => Object.hasOwn(record.labels, key) && record.labels[key] === value,
  );
}
