import { objectFrame } from './object-metadata.ts';
import {
  boolean,
  type Field,
  integer,
  jsonObject,
  list,
  object,
  optional,
  type Reader,
  record,
  required,
  secretText,
  text,
} from './yaml-reader.ts';

/**
 * Kinds that stand in the same files as ours. Their fields are checked so that a typing error is found, and nothing of
 * them is stored in this version. Field names: EKS Anywhere's, Tinkerbell's bmc group's, Kubernetes'.
 */

const EKSA = 'anywhere.eks.amazonaws.com/v1alpha1';
const BMC = 'bmc.tinkerbell.org/v1alpha1';

const bmcConnection = object({
  authSecretRef: optional(object({ name: required(text()), namespace: optional(text()) })),
  host: required(text()),
  insecureTLS: optional(boolean()),
  port: optional(integer(0, 65_535)),
  providerOptions: optional(jsonObject()),
});

const secretFrame = object({
  ...objectFrame,
  type: optional(text()),
  immutable: optional(boolean()),
  data: optional(record(secretText())),
  stringData: optional(record(secretText())),
});

/** `apiVersion/kind` → reader of the whole object. */
export const UNSTORED_KINDS: Readonly<Record<string, Reader<unknown>>> = {
  [`${EKSA}/OIDCConfig`]: withFreeSpec(),
  [`${EKSA}/AWSIamConfig`]: withFreeSpec(),
  [`${EKSA}/FluxConfig`]: withFreeSpec(),
  [`${EKSA}/GitOpsConfig`]: withFreeSpec(),
  [`${BMC}/Machine`]: withSpec({ connection: required(bmcConnection) }),
  [`${BMC}/Job`]: withSpec({ machineRef: optional(jsonObject()), tasks: optional(list(jsonObject())) }),
  [`${BMC}/Task`]: withSpec({ connection: optional(bmcConnection), task: optional(jsonObject()) }),
  'tinkerbell.org/v1alpha1/WorkflowRuleSet': withSpec({
    rules: optional(list(text())),
    workflow: optional(jsonObject()),
  }),
  'v1/Secret': secretFrame,
  'v1/Namespace': object({ ...objectFrame, spec: optional(jsonObject()) }),
  'v1/ConfigMap': object({
    ...objectFrame,
    data: optional(record(text())),
    binaryData: optional(record(text())),
    immutable: optional(boolean()),
  }),
};

function withSpec(fields: Readonly<Record<string, Field<unknown, boolean>>>): Reader<unknown> {
  return object({ ...objectFrame, spec: required(object(fields)) });
}

function withFreeSpec(): Reader<unknown> {
  return object({ ...objectFrame, spec: required(jsonObject()) });
}
