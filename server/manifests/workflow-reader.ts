import { objectFrame, readLabels } from './object-metadata.ts';
import type { WorkflowManifest, WorkflowSpec } from './workflow-kind.ts';
import { positionOf } from './yaml-documents.ts';
import {
  boolean,
  entry,
  jsonObject,
  noted,
  object,
  optional,
  type Reader,
  record,
  refined,
  refuse,
  required,
  scalarText,
  text,
  word,
} from './yaml-reader.ts';

const bootOptionFields = object({
  toggleAllowNetboot: optional(boolean()),
  bootMode: optional(word(['', 'netboot', 'iso', 'isoboot', 'customboot'])),
  isoURL: optional(text()),
  custombootConfig: optional(jsonObject()),
});

const readBootOptions: Reader<NonNullable<WorkflowSpec['bootOptions']>> = refined(
  bootOptionFields,
  (options, value) => {
    if (options.bootMode !== undefined && options.bootMode !== '' && options.bootMode !== 'netboot') {
      const { scope } = value;
      const at = positionOf(scope, entry(value, 'bootMode')?.node);
      const fact = 'is accepted and not done in this version: start the machine from the network';
      scope.findings.warn(at, `${value.path}.bootMode ${options.bootMode} ${fact}`, options.bootMode);
    }
    return options;
  },
);

const workflowObject = object({
  ...objectFrame,
  spec: required(
    object({
      templateRef: required(noted(text(faultOfReference))),
      hardwareRef: optional(noted(text(faultOfReference))),
      hardwareSelector: optional(noted(readLabels)),
      hardwareMap: optional(noted(record(noted(scalarText())))),
      disabled: optional(boolean()),
      bootOptions: optional(readBootOptions),
    }),
  ),
});

/** Workflow, `tinkerbell.org/v1alpha1`, with our optional `hardwareSelector`. */
export const readWorkflow: Reader<WorkflowManifest> = refined(workflowObject, ({ metadata, spec }, value) => {
  if (spec.hardwareRef !== undefined && spec.hardwareSelector !== undefined) {
    return refuse(value, 'spec.hardwareRef and spec.hardwareSelector exclude each other: remove one');
  }
  const selector = spec.hardwareSelector;
  if (selector !== undefined && Object.keys(selector).length === 0) {
    return refuse(value, 'spec.hardwareSelector is empty and would match any machine: add a label');
  }
  return { ...metadata, spec: { ...spec, hardwareMap: spec.hardwareMap ?? {} } };
});

function faultOfReference(name: string): string | undefined {
  return name === '' ? 'is empty: write the name of an object' : undefined;
}
