/** How Go's strconv writes numbers. */

const MAX_FLOAT_PRECISION = 1000;

/**
 * Writes a float like strconv.FormatFloat with the formats e, f and g. Precision undefined means the fewest digits that
 * read back as the same number.
 */
export function formatFloat(value: number, format: 'e' | 'f' | 'g', precision?: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const limited = precision === undefined ? undefined : Math.min(precision, MAX_FLOAT_PRECISION);
  return sign + formatPositive(Math.abs(value), format, limited);
}

/** Writes a float in hexadecimal with as many digits as it has: `0x1.8p+01`. */
export function formatHexFloat(value: number): string {
  if (!Number.isFinite(value)) return formatFloat(value, 'g');
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  let mantissa = Math.abs(value);
  if (mantissa === 0) return `${sign}0x0p+00`;
  let exponent = Math.floor(Math.log2(mantissa));
  mantissa = mantissa / 2 ** Math.floor(exponent / 2) / 2 ** Math.ceil(exponent / 2);
  // The logarithm may be off by one next to a power of two.
  for (; mantissa >= 2; mantissa /= 2) exponent++;
  for (; mantissa < 1; mantissa *= 2) exponent--;
  return `${sign}0x${mantissa.toString(16)}p${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
}

function formatPositive(value: number, format: 'e' | 'f' | 'g', precision: number | undefined): string {
  if (format === 'f') return fixed(value, precision);
  if (format === 'e') {
    const { digits, exponent } = precision === undefined ? shortest(value) : rounded(value, precision + 1);
    return exponential(digits, exponent);
  }
  const { digits, exponent } = precision === undefined ? shortest(value) : rounded(value, Math.max(precision, 1));
  const significant = digits.replace(/(?<=.)0+$/, '');
  let threshold = precision === undefined ? 6 : Math.max(precision, 1);
  if (precision !== undefined && threshold > significant.length && significant.length >= exponent + 1) {
    threshold = significant.length;
  }
  if (exponent < -4 || exponent >= threshold) return exponential(significant, exponent);
  return positional(significant, exponent);
}

interface Decimal {
  /** Significant digits, the first one before the decimal point. */
  readonly digits: string;
  readonly exponent: number;
}

function shortest(value: number): Decimal {
  const [mantissa = '0', exponent = '0'] = value.toExponential().split('e');
  return { digits: mantissa.replace('.', ''), exponent: Number(exponent) };
}

function fixed(value: number, precision: number | undefined): string {
  if (precision === undefined) {
    const { digits, exponent } = shortest(value);
    return positional(digits, exponent);
  }
  const digits = scaledInteger(value, precision)
    .toString()
    .padStart(precision + 1, '0');
  return precision === 0 ? digits : `${digits.slice(0, -precision)}.${digits.slice(-precision)}`;
}

/** Exactly this many significant digits. */
function rounded(value: number, count: number): Decimal {
  if (value === 0) return { digits: '0'.repeat(count), exponent: 0 };
  let { exponent } = shortest(value);
  let digits = scaledInteger(value, count - 1 - exponent).toString();
  if (digits.length > count) {
    exponent++;
    digits = digits.slice(0, count);
  }
  return { digits, exponent };
}

/** value × 10^places as an integer, halves to even, without any error of floating point. */
function scaledInteger(value: number, places: number): bigint {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const raw = bits.getBigUint64(0);
  const biased = Number((raw >> 52n) & 0x7ffn);
  const fraction = raw & ((1n << 52n) - 1n);
  const mantissa = biased === 0 ? fraction : fraction | (1n << 52n);
  const power = Math.max(biased, 1) - 1075;
  let numerator = mantissa * 2n ** BigInt(Math.max(power, 0)) * 10n ** BigInt(Math.max(places, 0));
  const denominator = 2n ** BigInt(Math.max(-power, 0)) * 10n ** BigInt(Math.max(-places, 0));
  const quotient = numerator / denominator;
  numerator = (numerator % denominator) * 2n;
  const isUp = numerator > denominator || (numerator === denominator && quotient % 2n === 1n);
  return isUp ? quotient + 1n : quotient;
}

function exponential(digits: string, exponent: number): string {
  const fraction = digits.length > 1 ? `.${digits.slice(1)}` : '';
  const shown = String(Math.abs(exponent)).padStart(2, '0');
  return `${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${shown}`;
}

function positional(digits: string, exponent: number): string {
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return digits.length > exponent + 1 ? `${whole}.${digits.slice(exponent + 1)}` : whole;
}
