/**
 * The naming rules of Kubernetes objects, so that every file we accept would also be accepted there.
 * Each function answers with what is wrong and the fix, or `undefined` when the text is fine.
 */

const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const QUALIFIED = /^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$/;

/** A DNS-1123 subdomain: names of objects, host names. */
export function faultOfObjectName(name: string): string | undefined {
  if (name === '') return 'is empty: give it a name';
  if (name.length > 253) return `has ${name.length} characters: use at most 253`;
  if (SUBDOMAIN.test(name)) return undefined;
  const lower = name.toLowerCase();
  if (lower !== name && SUBDOMAIN.test(lower)) return `has upper-case letters: write ${lower}`;
  return 'is not a DNS name: use lower-case letters, digits, "-" and ".", with a letter or digit at both ends of each part';
}

/** A label or annotation key: an optional DNS prefix and `/`, then a name of at most 63 characters. */
export function faultOfLabelKey(key: string): string | undefined {
  const slash = key.indexOf('/');
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  if (prefix !== undefined && (prefix.length > 253 || !SUBDOMAIN.test(prefix))) {
    return 'has a prefix that is not a DNS name: write it like example.org/name';
  }
  return faultOfQualifiedName(name, 'is not a label key');
}

export function faultOfLabelValue(value: string): string | undefined {
  return value === '' ? undefined : faultOfQualifiedName(value, 'is not a label value');
}

function faultOfQualifiedName(name: string, verdict: string): string | undefined {
  if (name.length > 63) return `${verdict}: it has ${name.length} characters, at most 63 are allowed`;
  if (QUALIFIED.test(name)) return undefined;
  return `${verdict}: use letters, digits, "-", "_" and ".", with a letter or digit at both ends`;
}
