import { toBytes } from './go-value.ts';
import { formatFloat, formatHexFloat } from './print-number.ts';
import { isPrintable, quoteGo } from './quote.ts';
import { functionFault } from './template-error.ts';

/** The flags, width and precision between `%` and the verb. */
export interface Flags {
  readonly isSharp: boolean;
  readonly isPlus: boolean;
  readonly isMinus: boolean;
  readonly isSpace: boolean;
  readonly isZero: boolean;
  readonly width: number | undefined;
  readonly precision: number | undefined;
}

export const NO_FLAGS: Flags = {
  isSharp: false,
  isPlus: false,
  isMinus: false,
  isSpace: false,
  isZero: false,
  width: undefined,
  precision: undefined,
};

/** Fills up to the width, which counts characters. */
export function pad(text: string, { width = 0, isMinus, isZero }: Flags): string {
  const missing = width - Array.from(text).length;
  if (missing <= 0) return text;
  if (isMinus) return text + ' '.repeat(missing);
  return (isZero ? '0' : ' ').repeat(missing) + text;
}

/** A string by `%s %v %q %x %X`; undefined for any other verb. */
export function formatText(text: string, verb: string, flags: Flags): string | undefined;
export function formatText(text: string, verb: 's', flags: Flags): string;
export function formatText(text: string, verb: string, flags: Flags): string | undefined {
  const { precision } = flags;
  switch (verb) {
    case 's':
    case 'v':
      return pad(truncate(text, precision), flags);
    case 'q': {
      const cut = truncate(text, precision);
      const isRaw =
        flags.isSharp &&
        !/[`\u007f\ufeff]/.test(cut) &&
        // oxlint-disable-next-line no-control-regex -- control characters are what it is about
        !/[\u0000-\u0008\u000a-\u001f]/.test(cut) &&
        cut.isWellFormed();
      return pad(isRaw ? `\`${cut}\`` : quoteGo(cut, '"', flags.isPlus), flags);
    }
    case 'x':
    case 'X': {
      const bytes = toBytes(text).subarray(0, precision);
      return pad(hexBytes(bytes, verb, flags), flags);
    }
    default:
      return undefined;
  }
}

function truncate(text: string, precision: number | undefined): string {
  return precision === undefined ? text : Array.from(text).slice(0, precision).join('');
}

function hexBytes(bytes: Buffer, verb: 'x' | 'X', { isSharp, isSpace }: Flags): string {
  const pairs = [...bytes].map((byte) => byte.toString(16).padStart(2, '0'));
  const prefix = isSharp && pairs.length > 0 ? '0x' : '';
  const text = isSpace ? pairs.map((pair) => prefix + pair).join(' ') : prefix + pairs.join('');
  return verb === 'X' ? text.toUpperCase() : text;
}

const BASES: Readonly<Record<string, number>> = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };

/** An integer by `%d %v %b %o %O %x %X %c %q %U`; undefined for any other verb. */
export function formatInteger(value: bigint, verb: string, flags: Flags): string | undefined {
  if (verb === 'c') return pad(character(value), flags);
  if (verb === 'q') return pad(quoteGo(character(value), "'", flags.isPlus), flags);
  if (verb === 'U') return pad(unicodeText(value, flags), { ...flags, isZero: false });
  const base = BASES[verb];
  return base === undefined ? undefined : integerDigits(value, verb, base, flags);
}

function integerDigits(value: bigint, verb: string, base: number, flags: Flags): string {
  const { precision, width = 0 } = flags;
  const sign = integerSign(value, flags);
  if (precision === 0 && value === 0n) return pad('', { ...flags, isZero: false });
  let digits = (value < 0n ? -value : value).toString(base);
  if (verb === 'X') digits = digits.toUpperCase();
  let least = precision ?? 0;
  // Zeros fill up between the sign and the digits; the prefix of the base comes on top, as in Go.
  if (precision === undefined && flags.isZero && !flags.isMinus) least = width - sign.length;
  digits = digits.padStart(least, '0');
  return pad(sign + basePrefix(verb, digits, flags) + digits, { ...flags, isZero: false });
}

function integerSign(value: bigint, { isPlus, isSpace }: Flags): string {
  if (value < 0n) return '-';
  return isPlus ? '+' : isSpace ? ' ' : '';
}

function basePrefix(verb: string, digits: string, { isSharp }: Flags): string {
  if (verb === 'O') return `0o${isSharp && !digits.startsWith('0') ? '0' : ''}`;
  if (!isSharp) return '';
  if (verb === 'o') return digits.startsWith('0') ? '' : '0';
  if (verb === 'b') return '0b';
  return verb === 'x' ? '0x' : verb === 'X' ? '0X' : '';
}

function character(value: bigint): string {
  const isCharacter = value >= 0n && value <= 0x10ffffn && !(value >= 0xd800n && value <= 0xdfffn);
  return isCharacter ? String.fromCodePoint(Number(value)) : '\ufffd';
}

function unicodeText(value: bigint, { isSharp, precision }: Flags): string {
  const unsigned = BigInt.asUintN(64, value);
  const text = `U+${unsigned
    .toString(16)
    .toUpperCase()
    .padStart(Math.max(4, precision ?? 4), '0')}`;
  const shown = isSharp && unsigned <= 0x10ffffn ? character(unsigned) : '';
  return shown !== '' && isPrintable(shown) ? `${text} '${shown}'` : text;
}

type FloatFormat = 'e' | 'f' | 'g' | 'x';

const FLOAT_FORMATS: Readonly<Record<string, FloatFormat>> = { v: 'g', e: 'e', f: 'f', g: 'g', x: 'x' };

/** A float by `%v %e %E %f %F %g %G %x %X`; undefined for any other verb. */
export function formatFloatVerb(value: number, verb: string, flags: Flags): string | undefined {
  const format = FLOAT_FORMATS[verb.toLowerCase()];
  if (format === undefined || verb === 'V') return undefined;
  const text = floatDigits(value, format, flags);
  const digits = (verb === verb.toUpperCase() && Number.isFinite(value) ? text.toUpperCase() : text).replace(
    /^[+-]/,
    '',
  );
  return padFloat(floatSign(text, flags), digits, flags);
}

function floatDigits(value: number, format: FloatFormat, flags: Flags): string {
  if (format === 'x') {
    if (flags.precision !== undefined) throw functionFault('%x of a float with a precision is not supported');
    return formatHexFloat(value);
  }
  const text = formatFloat(value, format, flags.precision ?? (format === 'g' ? undefined : 6));
  return flags.isSharp && Number.isFinite(value) ? withPoint(text, format, flags.precision) : text;
}

/** Infinity always has a sign, unless a space was asked for. */
function floatSign(text: string, { isPlus, isSpace }: Flags): string {
  if (text.startsWith('-')) return '-';
  if (isPlus) return '+';
  if (isSpace) return ' ';
  return text.startsWith('+') ? '+' : '';
}

function padFloat(sign: string, digits: string, flags: Flags): string {
  if (!flags.isZero || /[IN]/.test(digits)) return pad(sign + digits, { ...flags, isZero: false });
  return sign + digits.padStart((flags.width ?? 0) - sign.length, '0');
}

/** The `#` flag keeps a decimal point, and for %g the zeros up to the precision. */
function withPoint(text: string, format: 'e' | 'f' | 'g', precision: number | undefined): string {
  const [, sign = '', digits = '', tail = ''] = /^([+-]?)([0-9.]*)(.*)$/.exec(text) ?? [];
  const pointed = digits.includes('.') ? digits : `${digits}.`;
  if (format !== 'g') return sign + pointed + tail;
  const significant = pointed.replace('.', '').replace(/^0+/, '').length;
  return (
    sign +
    pointed +
    '0'.repeat(Math.max(0, (precision ?? 6) - Math.max(significant, /[1-9]/.test(digits) ? 0 : 1))) +
    tail
  );
}
