import { referenceTo } from './cluster-group-readers.ts';
import { readHostOs } from './host-os-reader.ts';
import type { AffinityTerm, HardwareAffinity, LabelExpression, MachineConfigManifest } from './machine-config-kind.ts';
import { clusterFrame, readLabels } from './object-metadata.ts';
import { faultOfLabelKey, faultOfLabelValue } from './object-names.ts';
import { faultOfImageUrl } from './url-fault.ts';
import {
  entry,
  integer,
  list,
  noted,
  object,
  optional,
  type Reader,
  refined,
  refuse,
  refuseAt,
  required,
  secretText,
  text,
  warnAt,
  word,
  type YamlValue,
} from './yaml-reader.ts';

const readSelector: Reader<Readonly<Record<string, string>>> = refined(noted(readLabels), (labels, value) => {
  const count = Object.keys(labels).length;
  if (count === 1) return labels;
  return refuse(value, `${value.path} has ${count} labels: EKS Anywhere takes exactly one key with one value`);
});

const readExpression: Reader<LabelExpression> = refined(
  object({
    key: required(text(faultOfLabelKey)),
    operator: required(word(['In', 'NotIn', 'Exists', 'DoesNotExist'])),
    values: optional(list(text(faultOfLabelValue))),
  }),
  ({ key, operator, values = [] }, value) => {
    const needsValues = operator === 'In' || operator === 'NotIn';
    if (needsValues === values.length > 0) return { key, operator, values };
    const fact = needsValues ? 'needs values: add at least one' : 'takes no values: remove them';
    return refuseAt(value, 'values', `${value.path}: the operator ${operator} ${fact}`);
  },
);

/** A term without any condition would match every machine: more likely something was forgotten. */
const readTerm: Reader<AffinityTerm> = refined(
  object({
    labelSelector: optional(
      object({ matchLabels: optional(readLabels), matchExpressions: optional(list(readExpression)) }),
    ),
  }),
  ({ labelSelector = {} }, value) => {
    const { matchLabels = {}, matchExpressions = [] } = labelSelector;
    if (Object.keys(matchLabels).length + matchExpressions.length > 0) return { matchLabels, matchExpressions };
    return refuse(value, `${value.path} has no condition and would match any machine: add labelSelector.matchLabels`);
  },
);

const readAffinity: Reader<HardwareAffinity> = refined(
  object({
    required: required(list(readTerm)),
    preferred: optional(list(object({ weight: required(integer(1, 100)), hardwareAffinityTerm: required(readTerm) }))),
  }),
  (affinity, value) => {
    if (affinity.required.length === 0) return refuse(value, `${value.path}.required is empty: add at least one term`);
    const preferred = (affinity.preferred ?? []).map(({ weight, hardwareAffinityTerm: term }) => ({ weight, term }));
    return { required: affinity.required, preferred };
  },
);

const readUser = object({
  name: required(noted(text(faultOfUserName))),
  sshAuthorizedKeys: optional(list(refined(secretText(), publicKey))),
});

type User = NonNullable<ReturnType<typeof readUser>>;

function faultOfUserName(name: string): string | undefined {
  return /^[a-z_][a-z0-9_-]{0,31}$/.test(name)
    ? undefined
    : 'is not a name of a user: use at most 32 lower-case letters, digits, "-" and "_", a letter first';
}

/** A public key is no secret; what is written in its place by mistake may be one, and is in no message. */
function publicKey(written: string, value: YamlValue): string | undefined {
  const key = written.trim();
  if (/PRIVATE KEY/.test(key)) {
    return refuse(value, `${value.path} is a private key: write the public one, from the file that ends in .pub`);
  }
  const [, type, data = ''] = /^(\S+) ([A-Za-z0-9+/]+={0,2})( [^\n\r]*)?$/.exec(key) ?? [];
  const bytes = Buffer.from(data, 'base64');
  const length = bytes.length > 4 ? bytes.readUInt32BE(0) : 0;
  // The key begins with its own type, so that a key that was cut or pasted together is found.
  if (type !== undefined && bytes.toString('latin1', 4, 4 + length) === type && bytes.length > 4 + length) return key;
  return refuse(value, `${value.path} is not a public SSH key: write one line like "ssh-ed25519 AAAA… name"`);
}

const specFields = object({
  hardwareAffinity: optional(noted(readAffinity)),
  hardwareSelector: optional(readSelector),
  hostOSConfiguration: optional(noted(readHostOs)),
  osFamily: optional(noted(word(['ubuntu', 'redhat', 'bottlerocket']))),
  osImageURL: optional(noted(text(faultOfImageUrl))),
  templateRef: optional(referenceTo('TinkerbellTemplateConfig')),
  users: optional(list(readUser)),
});

type GivenSpec = NonNullable<ReturnType<typeof specFields>>;

/** TinkerbellMachineConfig, `anywhere.eks.amazonaws.com/v1alpha1`. */
export const readMachineConfig: Reader<MachineConfigManifest> = refined(
  object({ ...clusterFrame, spec: required(refined(specFields, checkedSpec)) }),
  ({ metadata, spec }) => {
    const { name, namespace } = metadata;
    const { hostOSConfiguration, templateRef, users = [], ...rest } = spec;
    return {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...rest,
      ...(templateRef === undefined ? {} : { templateRef }),
      users: users.map(({ name: user, sshAuthorizedKeys = [] }) => ({ name: user, sshAuthorizedKeys })),
      ...(hostOSConfiguration ?? { ntpServers: [], certBundles: [] }),
    };
  },
);

function checkedSpec(spec: GivenSpec, value: YamlValue): GivenSpec | undefined {
  const { findings } = value.scope;
  const before = findings.problemCount;
  checkChoice(spec, value);
  checkHostOs(spec, value);
  checkUsers(spec.users ?? [], value);
  if (spec.osFamily === undefined) warnAt(value, 'osFamily', 'spec.osFamily is missing: bottlerocket is assumed');
  return findings.problemCount > before ? undefined : spec;
}

function checkChoice({ hardwareSelector, hardwareAffinity }: GivenSpec, value: YamlValue): void {
  if (hardwareSelector !== undefined && hardwareAffinity !== undefined) {
    const message = 'spec.hardwareAffinity and spec.hardwareSelector exclude each other: remove one';
    refuseAt(value, 'hardwareAffinity', message);
  } else if (hardwareSelector === undefined && hardwareAffinity === undefined) {
    refuse(value, 'spec.hardwareSelector is missing: add the label of the machines, for example `type: cp`');
  }
}

function checkHostOs({ osFamily = 'bottlerocket', hostOSConfiguration }: GivenSpec, value: YamlValue): void {
  if (osFamily === 'bottlerocket' || hostOSConfiguration === undefined) return;
  const at = entry(value, 'hostOSConfiguration') ?? value;
  const fix = `remove it, or set osFamily: bottlerocket (it is ${osFamily})`;
  const { certBundles, bottlerocketConfiguration } = hostOSConfiguration;
  if (certBundles.length > 0) refuseAt(at, 'certBundles', `${at.path}.certBundles is for Bottlerocket only: ${fix}`);
  if (bottlerocketConfiguration !== undefined) {
    const message = `${at.path}.bottlerocketConfiguration is for Bottlerocket only: ${fix}`;
    refuseAt(at, 'bottlerocketConfiguration', message);
  }
}

function checkUsers(users: readonly User[], value: YamlValue): void {
  const names = users.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined)
    refuseAt(value, 'users', `spec.users has ${twice} twice: put all keys into one entry`, twice);
  if (users.some(({ sshAuthorizedKeys = [] }) => sshAuthorizedKeys.length > 0)) return;
  warnAt(value, 'users', 'spec.users has no SSH key: nobody will be able to log in to these machines');
}
