import { createHash } from 'node:crypto';
import { deep, type FunctionTable, type GoFunction } from './go-function.ts';
import { fromBytes, type GoValue, toBytes } from './go-value.ts';
import { fromJson, toJson } from './json-text.ts';
import { fromYaml, toYaml } from './yaml-text.ts';

const COMPACT = { isHtmlSafe: true, indent: '' };
const PRETTY = { isHtmlSafe: true, indent: '  ' };
const RAW = { isHtmlSafe: false, indent: '' };

/** Encodings and checksums. */
export const ENCODING_FUNCTIONS: FunctionTable = {
  toJson: encoder((value) => orElse(() => toJson(value, COMPACT), '')),
  mustToJson: encoder((value) => toJson(value, COMPACT)),
  toPrettyJson: encoder((value) => orElse(() => toJson(value, PRETTY), '')),
  mustToPrettyJson: encoder((value) => toJson(value, PRETTY)),
  toRawJson: encoder((value) => toJson(value, RAW)),
  mustToRawJson: encoder((value) => toJson(value, RAW)),
  fromJson: decoder((text) => orElse<GoValue>(() => fromJson(text), null)),
  mustFromJson: decoder(fromJson),
  toYaml: encoder(toYaml),
  fromYaml: decoder(fromYaml),
  b64enc: onText((text) => toBytes(text).toString('base64')),
  b64dec: onText(decodeBase64),
  b32enc: onText((text) => encodeBase32(toBytes(text))),
  b32dec: onText(decodeBase32),
  sha1sum: onText((text) => createHash('sha1').update(toBytes(text)).digest('hex')),
  sha256sum: onText((text) => createHash('sha256').update(toBytes(text)).digest('hex')),
  sha512sum: onText((text) => createHash('sha512').update(toBytes(text)).digest('hex')),
  adler32sum: onText((text) => String(adler32(toBytes(text)))),
};

function onText(call: (text: string) => GoValue): GoFunction {
  return deep(['string'], (given) => call(given.string(0)));
}

function encoder(call: (value: GoValue) => string): GoFunction {
  return deep(['interface {}'], (given) => call(given.value(0)));
}

/** Parsers cost more per character than other functions, so they pay more. */
function decoder(call: (text: string) => GoValue): GoFunction {
  return deep(['string'], (given, budget) => {
    budget.spend(given.string(0).length);
    return call(given.string(0));
  });
}

/** The functions without `must` hide that a value does not fit, because templates count on that. */
function orElse<T>(call: () => T, fallback: T): T {
  try {
    return call();
  } catch {
    return fallback;
  }
}

/** Sprig puts the error text in the place of the result. */
function decodeBase64(text: string): string {
  const digits = text.replace(/[\r\n]/g, '');
  const valid = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?/.exec(digits)?.[0] ?? '';
  if (valid.length === digits.length) return fromBytes(Buffer.from(digits, 'base64'));
  return `illegal base64 data at input byte ${badBase64Byte(digits, valid)}`;
}

/** Go points at the bad character, or at the start of the group of four that is cut short. */
function badBase64Byte(digits: string, valid: string): number {
  const tail = /^[A-Za-z0-9+/]{0,4}/.exec(digits.slice(valid.length))?.[0] ?? '';
  const at = valid.length + tail.length;
  if (valid.endsWith('=') || at === digits.length) return valid.length;
  return tail.length === 2 && digits.slice(at) === '=' ? digits.length : at;
}

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function encodeBase32(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
  const groups = bits.match(/.{1,5}/g) ?? [];
  const text = groups.map((group) => BASE32[Number.parseInt(group.padEnd(5, '0'), 2)] ?? '').join('');
  return text.padEnd(Math.ceil(text.length / 8) * 8, '=');
}

function decodeBase32(text: string): string {
  const digits = text.replace(/[\r\n]/g, '');
  const valid =
    /^(?:[A-Z2-7]{8})*(?:[A-Z2-7]{2}={6}|[A-Z2-7]{4}={4}|[A-Z2-7]{5}={3}|[A-Z2-7]{7}=)?/.exec(digits)?.[0] ?? '';
  if (valid.length < digits.length) {
    const tail = /^[A-Z2-7]*/.exec(digits.slice(valid.length))?.[0] ?? '';
    const isCutShort = valid.length + tail.length === digits.length;
    return `illegal base32 data at input byte ${isCutShort ? valid.length : valid.length + tail.length}`;
  }
  const bits = Array.from(digits.replaceAll('=', ''), (digit) =>
    BASE32.indexOf(digit).toString(2).padStart(5, '0'),
  ).join('');
  const bytes = bits.match(/.{8}/g) ?? [];
  return fromBytes(Uint8Array.from(bytes, (byte) => Number.parseInt(byte, 2)));
}

function adler32(bytes: Uint8Array): number {
  let [a, b] = [1, 0];
  for (const byte of bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return b * 65536 + a;
}
