import { TinsmithError } from '../errors.ts';
import { faultOfHttpUrl, parseHttpUrl } from '../http-url.ts';
import { withoutUrlSecrets } from '../url-secrets.ts';

/** What an action is given: names and values as a template wrote them. */
export type Environment = Readonly<Record<string, string>>;

/** The value, or undefined when it is missing or empty. Templates often render an unset field as the empty string. */
export function optionalText(environment: Environment, name: string): string | undefined {
  const value = environment[name];
  return value === undefined || value === '' ? undefined : value;
}

/** The value; throws `invalid_params` when it is missing or empty. */
export function requiredText(environment: Environment, name: string, example: string): string {
  const value = optionalText(environment, name);
  if (value === undefined) throw invalidParam(name, environment[name], `set it, for example ${name}=${example}`);
  return value;
}

/** Go's boolean words. The published actions read anything else as false without a word; that hides typing errors, so it is refused. */
export function optionalBoolean(environment: Environment, name: string): boolean | undefined {
  const value = optionalText(environment, name);
  if (value === undefined) return undefined;
  if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(value)) return false;
  throw invalidParam(name, value, 'use true or false');
}

interface IntegerRange {
  readonly least: number;
  readonly most: number;
}

/** A decimal integer within `range`. */
export function optionalInteger(environment: Environment, name: string, range: IntegerRange): number | undefined {
  const value = optionalText(environment, name);
  if (value === undefined) return undefined;
  const number = /^[+-]?\d{1,15}$/.test(value.trim()) ? Number(value) : Number.NaN;
  if (number >= range.least && number <= range.most) return number;
  throw invalidParam(name, value, `use an integer from ${range.least} to ${range.most}`);
}

/** Permission bits in octal, with or without a leading 0 or 0o: `0644`, `4755`. */
export function requiredMode(environment: Environment, name: string): number {
  const value = requiredText(environment, name, '0644');
  const digits = /^(?:0o)?([0-7]{1,5})$/.exec(value.trim())?.[1];
  const mode = digits === undefined ? Number.NaN : Number.parseInt(digits, 8);
  if (mode <= 0o7777) return mode;
  throw invalidParam(name, value, 'use permission bits in octal from 0000 to 7777, such as 0644');
}

/** An absolute device path below /dev. */
export function requiredDevice(environment: Environment, name: string, example: string): string {
  const value = requiredText(environment, name, example).trim();
  if (isDevicePath(value)) return value;
  throw invalidParam(name, value, `use the path of a device below /dev, such as ${example}`);
}

export function isDevicePath(text: string): boolean {
  return /^\/dev\/[^\s\0]+$/.test(text) && !text.split('/').includes('..') && !text.endsWith('/');
}

/** A complete http or https URL, as it is sent. */
export function requiredUrl(environment: Environment, name: string, example: string): string {
  const text = requiredText(environment, name, example).trim();
  const url = urlGiven(name, text);
  if (url !== undefined) return url.href;
  throw invalidParam(name, text, 'use a complete http or https URL');
}

/** As `parseHttpUrl`, for a variable. Throws `invalid_params`. */
export function urlGiven(name: string, text: string): URL | undefined {
  const fault = faultOfHttpUrl(text);
  if (fault !== undefined) throw invalidParam(name, text, `it ${fault}`);
  return parseHttpUrl(text);
}

/** A Go duration such as `2m`, `1m30s`, `500ms`; milliseconds. */
export function optionalDurationMs(environment: Environment, name: string): number | undefined {
  const value = optionalText(environment, name)?.trim();
  if (value === undefined) return undefined;
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)/g)];
  if (parts.length === 0 || parts.map((part) => part[0]).join('') !== value) {
    throw invalidParam(name, value, 'use a duration such as 90s, 2m or 1m30s');
  }
  return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNIT_MS[unit ?? ''] ?? 0), 0);
}

const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};

/** A SHA-256 in hex, with or without the prefix `sha256:`; lower case. */
export function optionalSha256(environment: Environment, name: string): string | undefined {
  const value = optionalText(environment, name)?.trim();
  if (value === undefined) return undefined;
  const hex = /^(?:sha256:)?([0-9a-fA-F]{64})$/.exec(value)?.[1];
  if (hex === undefined) throw invalidParam(name, value, 'use 64 hexadecimal digits, as sha256sum prints them');
  return hex.toLowerCase();
}

/** Says which variable it is about, for those who know where that was written. */
export class InvalidParamError extends TinsmithError {
  readonly variable: string;

  constructor(variable: string, sentence: string, options: { readonly cause?: unknown } = {}) {
    super('invalid_params', sentence, options);
    this.variable = variable;
  }
}

/** For a value that is read by what knows no variables: its errors become those of the variable. */
export function inVariable<T>(name: string, parse: () => T): T {
  try {
    return parse();
  } catch (thrown) {
    if (thrown instanceof InvalidParamError || !(thrown instanceof TinsmithError)) throw thrown;
    throw thrown.code === 'invalid_params' ? new InvalidParamError(name, thrown.message, { cause: thrown }) : thrown;
  }
}

/** Seconds between progress lines; milliseconds. 0 makes the published action panic; here it means the default. */
export function progressIntervalMs(environment: Environment): number {
  const seconds = optionalInteger(environment, 'PROGRESS_INTERVAL_SECONDS', { least: 0, most: 1e6 }) ?? 0;
  return (seconds === 0 ? 3 : seconds) * 1000;
}

/** The one sentence for a bad variable: name, value as given but for secret parts of URLs, fix. */
export function invalidParam(name: string, value: string | undefined, fix: string): InvalidParamError {
  const fact =
    value === undefined || value === ''
      ? `${name} is not set`
      : `${name} is ${JSON.stringify(withoutUrlSecrets(value))}`;
  return new InvalidParamError(name, `${fact}: ${fix}`);
}
