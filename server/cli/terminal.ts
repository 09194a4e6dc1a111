/** Where a command writes: text for people on a terminal, plain lines and data otherwise. */
export interface Terminal {
  /** Writes one line (or several) to standard output. */
  line(text: string): void;
  /** Writes one line to standard error. */
  note(text: string): void;
  /** Writes to standard output as it is. */
  raw(text: string): void;
  /** Standard output is a terminal that understands cursor movement. */
  readonly isInteractive: boolean;
  /** Characters in a line; read anew each time, because windows are resized. */
  columns(): number;
  rows(): number;
  readonly paint: (this: void, style: Style, text: string) => string;
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue';

/** ECMA-48 SGR: switch on, switch off. */
const CODES: Readonly<Record<Style, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
};

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** A terminal over two outputs. Colours: only on a terminal, and never with `NO_COLOR` or `TERM=dumb`. */
export function openTerminal(
  stdout: Output,
  stderr: Output,
  environment: Readonly<Record<string, string | undefined>>,
): Terminal {
  const isInteractive = stdout.isTTY === true && environment['TERM'] !== 'dumb';
  const hasColor = isInteractive && (environment['NO_COLOR'] ?? '') === '';
  return {
    line: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    raw: (text) => void stdout.write(text),
    isInteractive,
    columns: () => stdout.columns ?? 80,
    rows: () => stdout.rows ?? 24,
    paint(style, text) {
      const [on, off] = CODES[style];
      return hasColor ? `\u001b[${on}m${text}\u001b[${off}m` : text;
    },
  };
}

/** C0 (but tab and line feed), DEL, C1, line separators and marks that change the direction of text. */
// oxlint-disable-next-line no-control-regex -- control characters are what it is about
const UNPRINTABLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Makes control characters visible: names, log lines and inventories come from machines, and a machine must not be able to
 * move the operator's cursor or set his window's title.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '·').replaceAll('\t', '    ');
}
