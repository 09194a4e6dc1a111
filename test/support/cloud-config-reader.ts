import assert from 'node:assert/strict';
import { parse, parseAllDocuments } from 'yaml';

export interface ReadFile {
  readonly content: string;
  readonly permissions: string;
  readonly owner: string;
}

/** A cloud-config as cloud-init reads it, its files by path. */
export interface ReadCloudConfig {
  readonly document: ReturnType<typeof parse>;
  readonly files: ReadonlyMap<string, ReadFile>;
}

export function readCloudConfig(text: string): ReadCloudConfig {
  assert.ok(text.startsWith('#cloud-config\n'), 'cloud-init goes by the first line');
  const document = parse(text, { version: '1.1' });
  const files = new Map<string, ReadFile>();
  for (const file of document.write_files ?? []) {
    assert.ok(!files.has(file.path), `${file.path} is written twice`);
    files.set(file.path, file);
  }
  return { document, files };
}

/** The documents of a YAML file by their kind. */
export function kindsOf(text: string): Readonly<Record<string, ReturnType<typeof parse>>> {
  return Object.fromEntries(
    parseAllDocuments(text).map((document) => {
      assert.deepEqual(document.errors, []);
      const value = document.toJS();
      return [value.kind, value];
    }),
  );
}
