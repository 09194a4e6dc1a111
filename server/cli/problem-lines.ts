import type { Problem } from '#proto/errors.ts';
import { printable } from './terminal.ts';

/** `file:line:column: message`, the form that editors and CI systems jump to; without a position for a whole file. */
export function problemLine({ file, line, column, message }: Problem): string {
  const place = line > 0 ? `${file}:${line}:${column}` : file;
  return printable(`${place}: ${message}`);
}
