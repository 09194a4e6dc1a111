import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Ajv, type ValidateFunction } from 'ajv';
import { parseAllDocuments, stringify } from 'yaml';
import type { Problem } from '#proto/errors.ts';
import { describeProblems } from './describe-problems.ts';
import type { JsonSchema } from './json-schema.ts';
import { loadManifests } from './load-manifests.ts';
import { combinedSchema, manifestSchemas } from './manifest-schemas.ts';

const FIXTURES = new URL('../../test/fixtures/', import.meta.url);
const FILES = ['eksa-example/cluster.yaml', 'eksa-rules/cluster.yaml', 'eksa-full/cluster.yaml'];

function compiled(schema: JsonSchema): ValidateFunction {
  return new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(schema);
}

function documentsOf(text: string): readonly unknown[] {
  return parseAllDocuments(text).map((document): unknown => document.toJS());
}

for (const name of FILES) {
  test(`${name} fits the schema for editors`, () => {
    const validate = compiled(combinedSchema());
    const documents = documentsOf(readFileSync(new URL(name, FIXTURES), 'utf8'));

    assert.ok(documents.length >= 4);
    for (const document of documents) assert.ok(validate(document), JSON.stringify(validate.errors));
  });
}

const TYPOS: readonly (readonly [from: string, to: string])[] = [
  ['kubernetesVersion', 'kubernetesVerson'],
  ['kind: Cluster', 'kind: Clustr'],
  ['tinkerbellIP', 'tinkerbelIP'],
  ['osFamily: ubuntu', 'osFamily: ubunut'],
  ['count: 3', 'count: "3"'],
  ['maxSurge', 'maxSurges'],
  ['machineGroupRef', 'machineGroup'],
  ['sshAuthorizedKeys', 'sshKeys'],
  ['anywhere.eks.amazonaws.com/v1alpha1', 'anywhere.eks.amazonaws.com/v1'],
];

for (const [from, to] of TYPOS) {
  test(`the schema refuses ${to}`, () => {
    const validate = compiled(combinedSchema());
    const text = readFileSync(new URL('eksa-rules/cluster.yaml', FIXTURES), 'utf8').replace(from, to);

    assert.ok(documentsOf(text).some((document) => !validate(document)));
  });
}

/** A value with every field that a schema knows; what it must not hold is left out. */
function sample(schema: JsonSchema, extra?: string): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum !== undefined) return schema.enum.find((word) => word !== '');
  const type = typeof schema.type === 'string' ? schema.type : schema.type?.[0];
  if (type === 'array') return [sample(schema.items ?? {}, extra)];
  if (type === 'object') return sampleObject(schema, extra);
  return new Map<string | undefined, unknown>([
    ['integer', Math.max(schema.minimum ?? 0, 1)],
    ['boolean', true],
    ['string', 'a'],
    [undefined, {}],
  ]).get(type);
}

function sampleObject({ properties, additionalProperties: item }: JsonSchema, extra?: string): unknown {
  if (properties === undefined) return typeof item === 'object' ? { a: sample(item, extra) } : {};
  const fields = Object.entries(properties).filter(([, field]) => field.not === undefined);
  const made = Object.fromEntries(fields.map(([key, field]) => [key, sample(field, extra)]));
  return extra === undefined ? made : { ...made, [extra]: 1 };
}

function objectCount(schema: JsonSchema): number {
  if (schema.not !== undefined) return 0;
  if (schema.items !== undefined) return objectCount(schema.items);
  if (schema.properties === undefined) {
    return typeof schema.additionalProperties === 'object' ? objectCount(schema.additionalProperties) : 0;
  }
  return Object.values(schema.properties).reduce((sum, field) => sum + objectCount(field), 1);
}

function problemsOf(document: unknown): readonly Problem[] {
  return loadManifests([{ name: 'm.yaml', text: stringify(document) }]).problems;
}

for (const [kind, schema] of manifestSchemas()) {
  test(`${kind}: every field that the schema knows is known to the reader, and no other`, () => {
    const known = describeProblems(problemsOf(sample(schema))).filter((line) => line.includes('is not a known field'));
    const unknown = problemsOf(sample(schema, 'zzz')).filter(({ message }) =>
      message.includes('zzz is not a known field'),
    );

    assert.deepEqual(known, []);
    assert.equal(unknown.length, objectCount(schema));
    assert.ok(!compiled(schema)(sample(schema, 'zzz')));
  });
}

/** Paths where anything goes. */
function freePaths(schema: JsonSchema, path: string): readonly string[] {
  if (Object.keys(schema).length === 0) return [path];
  if (schema.items !== undefined) return freePaths(schema.items, `${path}[]`);
  const { additionalProperties: item, properties } = schema;
  if (properties === undefined) return typeof item === 'object' ? freePaths(item, `${path}.*`) : [];
  return Object.entries(properties).flatMap(([key, field]) => freePaths(field, `${path}.${key}`));
}

const FREE_FORM = [
  'Hardware.spec.auto.*',
  'Hardware.spec.bmcRef.*',
  'Hardware.spec.interfaces[].netboot.pxelinux.*',
  'Hardware.spec.interfaces[].netboot.rpi.*',
  'Hardware.spec.interfaces[].isoboot.*',
  'Hardware.spec.metadata.*',
  'Hardware.spec.references.*',
  'Hardware.spec.resources.*',
  'Hardware.spec.tinkVersion',
  'Workflow.spec.bootOptions.custombootConfig.*',
  'Cluster.spec.bundlesRef.*',
  'Cluster.spec.controlPlaneConfiguration.kubeletConfiguration.*',
  'Cluster.spec.controlPlaneConfiguration.taints[].timeAdded',
  'Cluster.spec.packages.*',
  'Cluster.spec.podIamConfig.*',
  'Cluster.spec.workerNodeGroupConfigurations[].failureDomains',
  'Cluster.spec.workerNodeGroupConfigurations[].kubeletConfiguration.*',
  'Cluster.spec.workerNodeGroupConfigurations[].taints[].timeAdded',
  'TinkerbellTemplateConfig.spec.template.tasks[].actions[].namespaces',
  'OIDCConfig.spec.*',
  'AWSIamConfig.spec.*',
  'FluxConfig.spec.*',
  'GitOpsConfig.spec.*',
  'Machine.spec.connection.providerOptions.*',
  'Job.spec.machineRef.*',
  'Job.spec.tasks[].*',
  'Task.spec.connection.providerOptions.*',
  'Task.spec.task.*',
  'WorkflowRuleSet.spec.workflow.*',
  'Namespace.spec.*',
];

test('only what is free form has no schema of its own', () => {
  const metadata =
    /^\w+\.(metadata\.(creationTimestamp|deletion\w+|finalizers|generation|managedFields|ownerReferences|resourceVersion|selfLink|uid)|status)$/;
  const paths = [...manifestSchemas()].flatMap(([kind, schema]) => freePaths(schema, kind));

  assert.deepEqual(
    paths.filter((path) => !metadata.test(path)),
    FREE_FORM,
  );
});

test('a version may be written as a number, as YAML users do', () => {
  const validate = compiled(combinedSchema());
  const text = readFileSync(new URL('eksa-rules/cluster.yaml', FIXTURES), 'utf8').replace('"1.30"', '1.30');

  assert.ok(validate(documentsOf(text)[0]));
});
