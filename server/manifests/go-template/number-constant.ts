import type { NumberNode } from './nodes.ts';

type NumberProblem = 'illegal number syntax' | 'integer overflow' | 'complex';

/** Reads a number of a template by Go's rules for literals, base prefixes and underscores included. */
export function numberConstant(text: string, at: number): NumberNode | NumberProblem {
  if (text.endsWith('i') && !/^[+-]?0[xX]/.test(text)) return 'complex';
  const integer = integerLiteral(text);
  if (integer === undefined) return floatConstant(text, at);
  const isInRange = integer >= -(1n << 63n) && integer < 1n << 64n;
  // Go sees an integer too large for 64 bits as a float, and then calls that an overflow.
  if (!isInRange) return 'integer overflow';
  return {
    kind: 'number',
    at,
    text,
    integer,
    float: Number(integer),
    isFloatByShape: false,
  };
}

/** A character constant is the integer of its code point. */
export function characterConstant(text: string, at: number, codePoint: number): NumberNode {
  return { kind: 'number', at, text, integer: BigInt(codePoint), float: codePoint, isFloatByShape: false };
}

/** The integer that a Go literal stands for (`0x1f`, `0b101`, `0o17`, `017`, `1_000`), or undefined. */
export function integerLiteral(text: string): bigint | undefined {
  const match =
    /^([+-]?)(0[xX]_?[0-9a-fA-F]+(?:_[0-9a-fA-F]+)*|0[bB]_?[01]+(?:_[01]+)*|0[oO]?_?[0-7]+(?:_[0-7]+)*|0|[1-9][0-9]*(?:_[0-9]+)*)$/.exec(
      text,
    );
  if (match === null) return undefined;
  const digits = (match[2] ?? '').replaceAll('_', '');
  const value = /^0[0-7]/.test(digits) ? BigInt(`0o${digits.slice(1)}`) : BigInt(digits.toLowerCase());
  return match[1] === '-' ? -value : value;
}

/** The number that a Go float literal stands for, hexadecimal ones included, or undefined. */
export function floatLiteral(text: string): number | undefined {
  const decimal =
    /^[+-]?(?:[0-9]+(?:_[0-9]+)*\.?(?:[0-9]+(?:_[0-9]+)*)?|\.[0-9]+(?:_[0-9]+)*)(?:[eE][+-]?[0-9]+(?:_[0-9]+)*)?$/;
  if (decimal.test(text)) return Number(text.replaceAll('_', ''));
  const hexadecimal = /^([+-]?)0[xX]_?([0-9a-fA-F_]*)(?:\.([0-9a-fA-F_]*))?[pP]([+-]?[0-9]+)$/.exec(text);
  if (hexadecimal === null) return undefined;
  const whole = (hexadecimal[2] ?? '').replaceAll('_', '');
  const fraction = (hexadecimal[3] ?? '').replaceAll('_', '');
  if (whole + fraction === '') return undefined;
  const mantissa = Number(BigInt(`0x${whole}${fraction}`));
  const value = mantissa * 2 ** (Number(hexadecimal[4]) - 4 * fraction.length);
  return hexadecimal[1] === '-' ? -value : value;
}

function floatConstant(text: string, at: number): NumberNode | NumberProblem {
  const float = floatLiteral(text);
  if (float === undefined) return 'illegal number syntax';
  if (!Number.isFinite(float)) return 'illegal number syntax';
  if (!/[.eEpP]/.test(text)) return 'integer overflow';
  const isWhole = Number.isInteger(float) && Math.abs(float) < 2 ** 63;
  return { kind: 'number', at, text, integer: isWhole ? BigInt(float) : undefined, float, isFloatByShape: true };
}
