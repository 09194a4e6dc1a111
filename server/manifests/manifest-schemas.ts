import { type JsonSchema, schemaOf } from './json-schema.ts';
import { KIND_READERS } from './manifest-kinds.ts';

const DRAFT = 'http://json-schema.org/draft-07/schema#';

/** The schema of each kind by its name, made from what its reader takes. Draft-07, because editors know that best. */
export function manifestSchemas(): ReadonlyMap<string, JsonSchema> {
  return new Map(
    Object.entries(KIND_READERS).map(([head, reader]) => {
      const slash = head.lastIndexOf('/');
      const kind = head.slice(slash + 1);
      const schema = schemaOf(reader);
      const properties = {
        ...schema.properties,
        apiVersion: { const: head.slice(0, slash) },
        kind: { const: kind },
      };
      return [kind, { $schema: DRAFT, title: kind, ...schema, properties }];
    }),
  );
}

/** One schema for files that hold any of the kinds: what an editor is given. */
export function combinedSchema(): JsonSchema {
  const schemas = [...manifestSchemas()];
  return {
    $schema: DRAFT,
    title: 'Tinsmith manifests',
    type: 'object',
    required: ['apiVersion', 'kind'],
    properties: {
      apiVersion: { enum: [...new Set(Object.keys(KIND_READERS).map((head) => head.slice(0, head.lastIndexOf('/'))))] },
      kind: { enum: schemas.map(([kind]) => kind) },
    },
    // A chain of conditions, not `oneOf`: an editor then shows the faults of the kind that is written.
    allOf: schemas.map(([kind]) => ({
      if: { required: ['kind'], properties: { kind: { const: kind } } },
      // oxlint-disable-next-line unicorn/no-thenable -- the keyword of JSON Schema; the schema is never awaited by itself
      then: { $ref: `#/definitions/${kind}` },
    })),
    definitions: Object.fromEntries(schemas.map(([kind, { $schema: _draft, ...schema }]) => [kind, schema])),
  };
}
