import type { AffinityTerm, HardwareAffinity, MachineConfigManifest } from './machine-config-kind.ts';
import { objectFrame, readLabels } from './object-metadata.ts';
import {
  entry,
  integer,
  jsonObject,
  list,
  noted,
  object,
  optional,
  type Reader,
  refuse,
  required,
  text,
  word,
  type YamlValue,
} from './yaml-reader.ts';

/** TinkerbellMachineConfig. */
export const readMachineConfig: Reader<MachineConfigManifest> = (value) => {
  const made = machineConfigObject(value);
  if (made === undefined || !hasOneChoice(value)) return undefined;
  const { hardwareSelector, hardwareAffinity, osFamily, osImageURL, templateRef, users = [] } = made.spec;
  return {
    name: made.metadata.name,
    users: users.map(({ name, sshAuthorizedKeys = [] }) => ({ name, sshAuthorizedKeys })),
    ntpServers: [],
    certBundles: [],
    ...(hardwareSelector === undefined ? {} : { hardwareSelector }),
    ...(hardwareAffinity === undefined ? {} : { hardwareAffinity }),
    ...(osFamily === undefined ? {} : { osFamily }),
    ...(osImageURL === undefined ? {} : { osImageURL }),
    ...(templateRef === undefined ? {} : { templateRef: templateRef.name }),
  };
};

function hasOneChoice(value: YamlValue): boolean {
  const spec = entry(value, 'spec');
  if (spec === undefined) return false;
  const selector = entry(spec, 'hardwareSelector');
  const affinity = entry(spec, 'hardwareAffinity');
  if (selector !== undefined && affinity !== undefined) {
    refuse(affinity, 'spec.hardwareAffinity and spec.hardwareSelector exclude each other: remove one');
    return false;
  }
  if (selector === undefined && affinity === undefined) {
    refuse(spec, 'spec.hardwareSelector is missing: add the label of the machines, for example `type: cp`');
    return false;
  }
  return true;
}

const readSelector: Reader<Readonly<Record<string, string>>> = (value) => {
  const labels = noted(readLabels)(value);
  if (labels === undefined) return undefined;
  const count = Object.keys(labels).length;
  if (count === 1) return labels;
  return refuse(value, `${value.path} has ${count} labels: EKS Anywhere takes exactly one key with one value`);
};

const term = object({
  labelSelector: optional(
    object({
      matchLabels: optional(readLabels),
      matchExpressions: optional(
        list(
          object({
            key: required(text()),
            operator: required(word(['In', 'NotIn', 'Exists', 'DoesNotExist'])),
            values: optional(list(text())),
          }),
        ),
      ),
    }),
  ),
});

const affinityFields = object({
  required: required(list(term)),
  preferred: optional(list(object({ weight: required(integer(1, 100)), hardwareAffinityTerm: required(term) }))),
});

type Term = NonNullable<ReturnType<typeof term>>;

const readAffinity: Reader<HardwareAffinity> = (value) => {
  const affinity = affinityFields(value);
  if (affinity === undefined) return undefined;
  if (affinity.required.length === 0) return refuse(value, `${value.path}.required is empty: add at least one term`);
  const preferred = affinity.preferred ?? [];
  return {
    required: affinity.required.map(toTerm),
    preferred: preferred.map(({ weight, hardwareAffinityTerm }) => ({ weight, term: toTerm(hardwareAffinityTerm) })),
  };
};

function toTerm({ labelSelector = {} }: Term): AffinityTerm {
  const { matchLabels = {}, matchExpressions = [] } = labelSelector;
  return { matchLabels, matchExpressions: matchExpressions.map(({ values = [], ...rest }) => ({ ...rest, values })) };
}

const machineConfigObject = object({
  ...objectFrame,
  spec: required(
    object({
      hardwareSelector: optional(readSelector),
      hardwareAffinity: optional(readAffinity),
      hostOSConfiguration: optional(jsonObject()),
      osFamily: optional(word(['ubuntu', 'redhat', 'bottlerocket'])),
      osImageURL: optional(text()),
      templateRef: optional(
        object({ kind: required(word(['TinkerbellTemplateConfig'])), name: required(noted(text())) }),
      ),
      users: optional(list(object({ name: required(text()), sshAuthorizedKeys: optional(list(text())) }))),
    }),
  ),
});
