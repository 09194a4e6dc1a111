/** A JSON Schema (draft-07), as far as readers make one. */
export interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
  readonly items?: JsonSchema;
  readonly enum?: readonly string[];
  readonly const?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minProperties?: number;
  readonly maxProperties?: number;
  readonly not?: JsonSchema;
  readonly description?: string;
  readonly $ref?: string;
  readonly $schema?: string;
  readonly $id?: string;
  readonly title?: string;
  readonly definitions?: Readonly<Record<string, JsonSchema>>;
  readonly allOf?: readonly JsonSchema[];
  readonly if?: JsonSchema;
  readonly then?: JsonSchema;
}

/** Something that takes values in and can say beforehand which ones. */
export interface WithSchema {
  /** Absent: any value. */
  readonly schema?: JsonSchema;
}

export function withSchema<F extends object>(read: F, schema: JsonSchema): F & { readonly schema: JsonSchema } {
  return Object.assign(read, { schema });
}

export function schemaOf({ schema = {} }: WithSchema): JsonSchema {
  return schema;
}
