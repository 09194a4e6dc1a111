/**
 * Go templates as Tinkerbell renders them: https://pkg.go.dev/text/template with the hermetic functions of sprig 3.3 and
 * Tinkerbell's own. Pure: the same template and data give the same text. A template cannot loop for ever, fill the
 * memory, reach anything but its data, or read an inherited property.
 *
 * Different from Go on purpose: a missing key is an error unless asked otherwise; columns in errors count from 1;
 * `keys` and `values` are sorted; complex numbers, channels and function values do not exist; templates nest at most 200
 * deep; sprig's functions of time, chance and secrets are refused (functions-refused.ts).
 */
import { Budget } from './budget.ts';
import { evaluateTemplate } from './evaluator.ts';
import { TEMPLATE_FUNCTIONS } from './function-table.ts';
import { fromData } from './go-value.ts';
import { type ParsedTemplate, Parser } from './parser.ts';
import { type MissingKey, Output } from './render-state.ts';
import { templateError } from './template-error.ts';

export type { MissingKey, ParsedTemplate };

export interface ParseOptions {
  /** What errors call the template: usually the name of the Template manifest. */
  readonly name: string;
}

export interface RenderOptions {
  /** Name for a template given as text; default `template`. */
  readonly name?: string;
  /** What a key that its map does not have means; default `error`, which is what Tinkerbell uses. */
  readonly missingKey?: MissingKey;
  /** Default 256 KiB. */
  readonly maxOutputBytes?: number;
  /** Units of work, see budget.ts; default 1 000 000, which takes about a second at most. */
  readonly maxSteps?: number;
  /** Default 5000. The steps end a runaway template long before, unless the machine is very busy. */
  readonly timeoutMs?: number;
  /** Milliseconds that only go forward; default `performance.now`. */
  readonly clock?: () => number;
}

const MAX_SOURCE_BYTES = 1024 * 1024;

/** Parses a template. Throws `invalid_template`; the sentence begins with `name:line:column:`. */
export function parseTemplate(source: string, { name }: ParseOptions): ParsedTemplate {
  if (Buffer.byteLength(source) > MAX_SOURCE_BYTES) {
    throw templateError({ name, source: '', offset: 0 }, `the template is larger than ${MAX_SOURCE_BYTES} bytes`);
  }
  return new Parser(name, source.toWellFormed(), TEMPLATE_FUNCTIONS).parse();
}

/** Renders a template with plain data (what YAML or JSON give). Throws `invalid_template`, as `parseTemplate` does. */
export function renderTemplate(template: ParsedTemplate | string, data: unknown, options: RenderOptions = {}): string {
  const parsed =
    typeof template === 'string' ? parseTemplate(template, { name: options.name ?? 'template' }) : template;
  const output = new Output(options.maxOutputBytes ?? 256 * 1024);
  const budget = new Budget({
    maxSteps: options.maxSteps ?? 1_000_000,
    timeoutMs: options.timeoutMs ?? 5000,
    clock: options.clock ?? (() => performance.now()),
  });
  evaluateTemplate(
    { template: parsed, functions: TEMPLATE_FUNCTIONS, missingKey: options.missingKey ?? 'error', budget, output },
    fromData(data) ?? undefined,
  );
  return output.text();
}
