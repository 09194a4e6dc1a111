/** What schemas of the API are made of, whatever they are about. */
import { type Static, type TSchema, Type } from 'typebox';
import type { ErrorCode } from '#proto/errors.ts';

type DeepReadonly<T> = T extends readonly (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;
/** The type of what a schema describes. */
export type View<Schema extends TSchema> = DeepReadonly<Static<Schema>>;

/** Of requests: what is not known is refused, so that a typing error does not pass for a wish. */
export const closed = { additionalProperties: false } as const;
export const date = Type.String({ description: 'ISO 8601, UTC' });

export const problemSchema = Type.Object({
  file: Type.String({ description: 'File name as it was sent' }),
  line: Type.Integer({ description: '1-based; 0: the whole file' }),
  column: Type.Integer(),
  message: Type.String(),
  value: Type.Optional(Type.String()),
});

export const failureSchema = Type.Object({
  code: Type.Unsafe<ErrorCode>({ type: 'string' }),
  message: Type.String(),
});

/** Manifests as an operator has them in files. */
export const manifestFilesSchema = Type.Array(
  Type.Object({ name: Type.String({ maxLength: 4096 }), text: Type.String() }, closed),
  { maxItems: 10_000 },
);

export const dryRun = Type.Optional(Type.Boolean({ description: 'Tells what would be done and changes nothing' }));
