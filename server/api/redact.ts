import { catalog, isActionName } from '#proto/actions/catalog.ts';
import { REDACTED, withoutUrlSecrets } from '#proto/url-secrets.ts';
import type { JsonObject, JsonValue } from '../manifests/hardware-kind.ts';

/** Names that carry a secret in Tinkerbell's free-form metadata and in BMC references. */
const SECRET_NAME = /pass(word|wd|phrase)|secret|token|crypted|credential|private.?key|^user_?data$|^vendor_?data$/i;

/** A copy as JSON in which the value of every name that says that it is secret is replaced, and the secret parts of URLs. */
export function redactObject(value: object): JsonObject {
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      SECRET_NAME.test(name) ? redactSecret(inner) : redactValue(inner),
    ]),
  );
}

function redactValue(value: unknown): JsonValue | undefined {
  if (value === undefined || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => redactValue(item) ?? null);
  if (typeof value === 'object') return redactObject(value);
  if (typeof value === 'string') return withoutUrlSecrets(value);
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  // Functions, symbols and big integers do not come out of YAML or CSV; JSON has no word for them.
  return undefined;
}

/** An empty text stays, because it tells that there is no secret. */
function redactSecret(value: unknown): JsonValue | undefined {
  const isEmpty = value === undefined || value === null || value === '' || typeof value === 'boolean';
  return isEmpty ? value : REDACTED;
}

/**
 * An action's environment without the values that its declaration marks as secret, those whose name says so, and the secret parts
 * of URLs.
 */
export function redactEnvironment(
  image: string,
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  const marked = new Set(secretsOf(image));
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value !== '' && (marked.has(name) || SECRET_NAME.test(name)) ? REDACTED : withoutUrlSecrets(value),
    ]),
  );
}

function secretsOf(image: string): readonly string[] {
  const base = image.split('@', 1)[0]?.split('/').at(-1)?.split(':', 1)[0] ?? '';
  return isActionName(base) ? (catalog[base].secrets ?? []) : [];
}
