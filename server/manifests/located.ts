import type { Position } from './findings.ts';

/** A manifest and where it stands. */
export interface Located<T> {
  readonly value: T;
  readonly origin: 'yaml' | 'csv';
  /** Its name, or its first line if that is not known. */
  readonly at: Position;
  /** Places of single values by their path, for example `spec.templateRef`; values that nobody asks about are not in it. */
  readonly fields: ReadonlyMap<string, Position>;
}

/** Place of a value inside a manifest, or of the manifest if that is not known. */
export function placeOf(located: Located<unknown>, path: string): Position {
  return located.fields.get(path) ?? located.at;
}
