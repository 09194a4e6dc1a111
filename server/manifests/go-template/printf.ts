/**
 * Formatted printing by the rules of Go's fmt package: all flags, widths, precisions and argument indexes, and its
 * `%!verb(type=value)` notes for what does not fit.
 */
import { MAX_VALUE_SIZE } from './budget.ts';
import { GoList, GoMap, GoObject, type GoValue, goType, integerOf } from './go-value.ts';
import { type Flags, formatFloatVerb, formatInteger, formatText, NO_FLAGS, pad } from './print-verbs.ts';
import { quoteGo } from './quote.ts';
import { functionFault } from './template-error.ts';

/** `fmt.Sprintf`. */
export function sprintf(format: string, values: readonly GoValue[]): string {
  return new Printer(format, values).print();
}

/** `fmt.Sprint`: a space between two values of which neither is a string. */
export function sprint(values: readonly GoValue[]): string {
  let result = '';
  for (const [index, value] of values.entries()) {
    const isSpaced = index > 0 && typeof value !== 'string' && typeof values[index - 1] !== 'string';
    result += (isSpaced ? ' ' : '') + formatValue(value);
  }
  return result;
}

/** `fmt.Sprintln`: always a space between, a line feed at the end. */
export function sprintln(values: readonly GoValue[]): string {
  return `${values.map(formatValue).join(' ')}\n`;
}

/** `%v` of a value. */
export function formatValue(value: GoValue): string {
  return formatWith(value, 'v', NO_FLAGS);
}

const MAX_WIDTH = 1_000_000;

class Printer {
  readonly #format: string;
  readonly #values: readonly GoValue[];
  #at = 0;
  #next = 0;
  #isReordered = false;
  #isIndexGood = true;
  #isAfterIndex = false;
  #result = '';

  constructor(format: string, values: readonly GoValue[]) {
    this.#format = format;
    this.#values = values;
  }

  print(): string {
    while (this.#at < this.#format.length) {
      const percent = this.#format.indexOf('%', this.#at);
      if (percent < 0) {
        this.#write(this.#format.slice(this.#at));
        break;
      }
      this.#write(this.#format.slice(this.#at, percent));
      this.#at = percent + 1;
      this.#directive();
    }
    if (!this.#isReordered && this.#next < this.#values.length) this.#noteExtra();
    return this.#result;
  }

  #directive(): void {
    this.#isIndexGood = true;
    this.#isAfterIndex = false;
    let flags = this.#flags();
    this.#index();
    flags = this.#width(flags);
    flags = this.#precision(flags);
    if (!this.#isAfterIndex) this.#index();
    const code = this.#format.codePointAt(this.#at);
    if (code === undefined) {
      this.#write('%!(NOVERB)');
      return;
    }
    const verb = String.fromCodePoint(code);
    this.#at += verb.length;
    if (verb === '%') this.#write('%');
    else if (!this.#isIndexGood) this.#write(`%!${verb}(BADINDEX)`);
    else if (this.#next >= this.#values.length) this.#write(`%!${verb}(MISSING)`);
    else this.#write(formatWith(this.#values[this.#next++], verb, flags));
  }

  #flags(): Flags {
    const text = /^[#0+\- ]*/.exec(this.#format.slice(this.#at, this.#at + 100))?.[0] ?? '';
    this.#at += text.length;
    const isMinus = text.includes('-');
    return {
      ...NO_FLAGS,
      isSharp: text.includes('#'),
      isPlus: text.includes('+'),
      isMinus,
      isSpace: text.includes(' '),
      isZero: text.includes('0') && !isMinus,
    };
  }

  /** `[n]`: which argument comes next, counted from 1. */
  #index(): void {
    if (this.#format[this.#at] !== '[') return;
    this.#isReordered = true;
    const match = /^\[([0-9]{1,7})\]/.exec(this.#format.slice(this.#at, this.#at + 10));
    const close = this.#format.indexOf(']', this.#at);
    this.#at = close < 0 ? this.#at + 1 : close + 1;
    const wanted = Number(match?.[1] ?? 0);
    if (wanted < 1 || wanted > this.#values.length) {
      this.#isIndexGood = false;
      return;
    }
    this.#next = wanted - 1;
    this.#isAfterIndex = true;
  }

  #width(flags: Flags): Flags {
    if (this.#format[this.#at] !== '*') {
      const number = this.#number();
      if (number !== undefined && this.#isAfterIndex) this.#isIndexGood = false;
      return number === undefined ? flags : { ...flags, width: number };
    }
    this.#at++;
    const width = this.#star();
    this.#isAfterIndex = false;
    if (width === undefined) this.#write('%!(BADWIDTH)');
    if (width === undefined || width >= 0) return { ...flags, width };
    return { ...flags, width: -width, isMinus: true, isZero: false };
  }

  #precision(flags: Flags): Flags {
    if (this.#format[this.#at] !== '.') return flags;
    this.#at++;
    if (this.#isAfterIndex) this.#isIndexGood = false;
    this.#index();
    if (this.#format[this.#at] !== '*') return { ...flags, precision: this.#number() ?? 0 };
    this.#at++;
    const precision = this.#star();
    this.#isAfterIndex = false;
    if (precision === undefined) this.#write('%!(BADPREC)');
    return { ...flags, precision: precision === undefined || precision < 0 ? undefined : precision };
  }

  #number(): number | undefined {
    const text = /^[0-9]+/.exec(this.#format.slice(this.#at, this.#at + 20))?.[0];
    if (text === undefined) return undefined;
    this.#at += text.length;
    return Number(text) > MAX_WIDTH ? undefined : Number(text);
  }

  #star(): number | undefined {
    const value = this.#values[this.#next];
    if (this.#next < this.#values.length) this.#next++;
    const number = Number(integerOf(value) ?? Number.NaN);
    return Math.abs(number) <= MAX_WIDTH ? number : undefined;
  }

  #noteExtra(): void {
    const notes = this.#values.slice(this.#next).map((value) => {
      return value === null || value === undefined ? '<nil>' : `${goType(value)}=${formatValue(value)}`;
    });
    this.#write(`%!(EXTRA ${notes.join(', ')})`);
  }

  #write(text: string): void {
    this.#result += text;
    if (this.#result.length > MAX_VALUE_SIZE)
      throw functionFault(`printed text is larger than ${MAX_VALUE_SIZE} characters`);
  }
}

/** One value by one verb. */
function formatWith(value: GoValue, verb: string, flags: Flags): string {
  if (value === null || value === undefined)
    return verb === 'v' || verb === 'T' ? pad('<nil>', flags) : `%!${verb}(<nil>)`;
  if (verb === 'T') return formatText(goType(value), 's', flags);
  if (verb === 'p') throw functionFault('%p is not supported: a template has no addresses');
  if (verb === 'v' && flags.isSharp) return goSyntax(value, flags);
  // With %v a plus asks for more detail, not for a sign.
  const meant = verb === 'v' && flags.isPlus ? { ...flags, isPlus: false } : flags;
  return formatScalar(value, verb, meant) ?? badVerb(value, verb, flags);
}

function formatScalar(value: GoValue, verb: string, flags: Flags): string | undefined {
  if (value instanceof GoList || value instanceof GoMap) return formatComposite(value, verb, flags);
  if (value instanceof GoObject) return formatText(value.text, verb, flags);
  if (typeof value === 'boolean') return verb === 't' || verb === 'v' ? pad(String(value), flags) : undefined;
  if (typeof value === 'string') return formatText(value, verb, flags);
  if (typeof value === 'number') return formatFloatVerb(value, verb, flags);
  const integer = integerOf(value);
  return integer === undefined ? undefined : formatInteger(integer, verb, flags);
}

function formatComposite(value: GoList | GoMap, verb: string, flags: Flags): string {
  if (value instanceof GoList) return `[${value.items.map((item) => formatItem(item, verb, flags)).join(' ')}]`;
  const pairs = value.sortedKeys().map((key) => {
    return `${formatWith(key, verb, flags)}:${formatItem(value.entries.get(key), verb, flags)}`;
  });
  return `map[${pairs.join(' ')}]`;
}

function formatItem(item: GoValue, verb: string, flags: Flags): string {
  return item === null || item === undefined ? '<nil>' : formatWith(item, verb, flags);
}

function badVerb(value: Exclude<GoValue, undefined | null>, verb: string, flags: Flags): string {
  return `%!${verb}(${goType(value)}=${formatScalar(value, 'v', { ...flags, isSharp: false })})`;
}

/** `%#v`: the value as Go source. */
function goSyntax(value: GoValue, flags: Flags): string {
  if (value === null || value === undefined) return 'interface {}(nil)';
  if (typeof value === 'string') return pad(quoteGo(value), flags);
  if (value instanceof GoList) {
    if (value.isNil) return `${goType(value)}(nil)`;
    return `${goType(value)}{${value.items.map((item) => goSyntax(item, flags)).join(', ')}}`;
  }
  if (value instanceof GoMap) {
    const pairs = value.sortedKeys().map((key) => `${quoteGo(key)}:${goSyntax(value.entries.get(key), flags)}`);
    return `${goType(value)}{${pairs.join(', ')}}`;
  }
  if (goType(value) === 'uint8') return `0x${(integerOf(value) ?? 0n).toString(16)}`;
  return formatScalar(value, 'v', { ...flags, isSharp: false }) ?? '';
}
