import { Document, isScalar, visit } from 'yaml';
import { TinsmithError } from '#proto/errors.ts';
import type { Position } from './findings.ts';
import { parseTemplate } from './go-template/go-template.ts';
import type { JsonObject } from './hardware-kind.ts';
import { schemaOf, withSchema } from './json-schema.ts';
import { objectFrame } from './object-metadata.ts';
import { readTaskListWithHoles } from './task-list.ts';
import { checkTaskList } from './task-list-checks.ts';
import type { TemplateManifest } from './template-kind.ts';
import { positionOf } from './yaml-documents.ts';
import { jsonObject, noted, object, type Reader, refined, required, text, type YamlValue } from './yaml-reader.ts';

const readTemplateData: Reader<string> = refined(
  noted(text((written) => (written.trim() === '' ? 'is empty: write a Go template' : undefined))),
  (data, value) => (parses(data, value) ? data : undefined),
);

/** Template, `tinkerbell.org/v1alpha1`: its Go template has to parse; what it renders to is checked with each workflow. */
export const readTemplate: Reader<TemplateManifest> = refined(
  object({ ...objectFrame, spec: required(object({ data: required(readTemplateData) })) }),
  ({ metadata, spec }) => ({ ...metadata, data: spec.data, source: 'Template' }),
);

const readPlain = jsonObject();

const readStructuredTemplate: Reader<string> = withSchema((value: YamlValue) => {
  const { findings } = value.scope;
  const before = findings.problemCount;
  const taskList = readTaskListWithHoles(value);
  const plain = readPlain(value);
  if (taskList === undefined || plain === undefined) return undefined;
  checkTaskList(taskList, value);
  const data = serialise(plain);
  return findings.problemCount > before || !parses(data, value) ? undefined : data;
}, schemaOf(readTaskListWithHoles));

/** TinkerbellTemplateConfig: the structured template, serialised so that holes inside its texts stay as they are. */
export const readTemplateConfig: Reader<TemplateManifest> = refined(
  object({ ...objectFrame, spec: required(object({ template: required(readStructuredTemplate) })) }),
  ({ metadata, spec }) => ({ ...metadata, data: spec.template, source: 'TinkerbellTemplateConfig' }),
);

/**
 * Writes the template as EKS Anywhere hands it on: literal blocks, single quotes, no folding. A Go template inside a
 * text must survive the quoting, and double quotes would escape its backslashes and quotes.
 */
function serialise(template: JsonObject): string {
  const document = new Document(template, { aliasDuplicateObjects: false });
  visit(document, {
    Scalar: (_key, node) => {
      const { value } = node;
      if (typeof value !== 'string' || !value.includes('{{') || value.includes('\n')) return;
      if (value.includes("'")) node.type = 'QUOTE_SINGLE';
    },
  });
  return document.toString({ lineWidth: 0, singleQuote: true, blockQuote: 'literal' });
}

/** Whether the Go template parses. A fault inside a literal block is placed in its own line of the file. */
function parses(data: string, value: YamlValue): boolean {
  try {
    parseTemplate(data, { name: 'template' });
    return true;
  } catch (thrown) {
    const error = TinsmithError.from(thrown);
    if (error.code === 'internal') throw error;
    const [problem] = error.problems;
    const place = problem === undefined ? undefined : placeInBlock(value, data, problem);
    const at = place ?? positionOf(value.scope, value.node);
    const message = place === undefined ? error.message : (problem?.message ?? error.message);
    value.scope.findings.refuse(at, `${value.path}: ${message}`);
    return false;
  }
}

/** Maps a place in the text of a literal block to the file: it begins in the line below the `|`, after the indentation. */
function placeInBlock(
  value: YamlValue,
  data: string,
  inside: { readonly line: number; readonly column: number },
): Position | undefined {
  const { node, scope } = value;
  if (!isScalar(node) || node.type !== 'BLOCK_LITERAL') return undefined;
  const line = positionOf(scope, node).line + inside.line;
  const start = scope.lines.lineStarts[line - 1];
  const written = data.split('\n')[inside.line - 1];
  if (start === undefined || written === undefined) return undefined;
  const indentation = Math.max(0, scope.text.slice(start).search(/\r?\n|$/) - written.length);
  return { file: scope.file, line, column: indentation + inside.column };
}
