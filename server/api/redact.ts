import { catalog, isActionName } from '#proto/actions/catalog.ts';
import type { JsonObject, JsonValue } from '../manifests/hardware-kind.ts';

export const REDACTED = '(redacted)';

/** Names that carry a secret in Tinkerbell's free-form metadata and in BMC references. */
const SECRET_NAME = /pass(word|wd|phrase)|secret|token|crypted|credential|private.?key|^user_?data$|^vendor_?data$/i;

/** A copy as JSON in which the value of every name that says that it is secret is replaced. */
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
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  // Functions, symbols and big integers do not come out of YAML or CSV; JSON has no word for them.
  return undefined;
}

/** An empty text stays, because it tells that there is no secret. */
function redactSecret(value: unknown): JsonValue | undefined {
  const isEmpty = value === undefined || value === null || value === '' || typeof value === 'boolean';
  return isEmpty ? value : REDACTED;
}

/** An action's environment without the values that its declaration marks as secret, and those whose name says so. */
export function redactEnvironment(
  image: string,
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  const marked = new Set(secretsOf(image));
  return Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name,
      value !== '' && (marked.has(name) || SECRET_NAME.test(name)) ? REDACTED : withoutPassword(value),
    ]),
  );
}

function secretsOf(image: string): readonly string[] {
  const base = image.split('@', 1)[0]?.split('/').at(-1)?.split(':', 1)[0] ?? '';
  return isActionName(base) ? (catalog[base].secrets ?? []) : [];
}

/** `http://user:password@host/` → `http://(redacted)@host/`. As URLs are read, the last `@` ends the password. */
function withoutPassword(value: string): string {
  return value.replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#]+@/gi, `$1${REDACTED}@`);
}
