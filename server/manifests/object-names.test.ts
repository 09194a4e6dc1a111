import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultOfImageReference } from './image-reference.ts';
import { faultOfLabelKey, faultOfLabelValue, faultOfObjectName } from './object-names.ts';

test('names of objects are DNS-1123 subdomains', () => {
  for (const name of ['a', '0', 'eksabmhp1-cp-n-1', 'a.b-c.d', 'x'.repeat(253)]) {
    assert.equal(faultOfObjectName(name), undefined, name);
  }
  for (const name of ['', '-a', 'a-', 'a..b', '.a', 'a_b', 'a b', 'ü', 'a/b', 'a\n', 'x'.repeat(254)]) {
    assert.notEqual(faultOfObjectName(name), undefined, name);
  }
  assert.match(faultOfObjectName('Node-1') ?? '', /write node-1$/);
});

test('label keys have an optional DNS prefix and a name of at most 63 characters', () => {
  for (const key of ['type', 'A.b_c-d', 'example.org/type', 'x'.repeat(63)]) {
    assert.equal(faultOfLabelKey(key), undefined, key);
  }
  for (const key of ['', '-a', 'a-', 'a b', '/a', 'Example.org/a', 'a/b/c', 'a/', 'x'.repeat(64)]) {
    assert.notEqual(faultOfLabelKey(key), undefined, key);
  }
});

test('a label value may be empty, and is otherwise like a name', () => {
  for (const value of ['', 'cp', '1', 'a.b', 'x'.repeat(63)]) assert.equal(faultOfLabelValue(value), undefined, value);
  for (const value of ['.a', 'a b', 'a=b', 'ä', 'x'.repeat(64)]) assert.notEqual(faultOfLabelValue(value), undefined);
});

test('image references follow the OCI grammar', () => {
  const right = [
    'image2disk',
    'quay.io/tinkerbell/actions/image2disk:latest',
    'localhost:5000/a/b__c.d-e:v1',
    '127.0.0.1/embedded/writefile',
    'public.ecr.aws/eks-anywhere/tinkerbell/hub/image2disk:6c0f0d437bde2c836d90b000312c8b25fa1b65e1-eks-a-36',
    `a/b@sha256:${'0'.repeat(64)}`,
    `REG.example/a:tag@sha256:${'f'.repeat(64)}`,
  ];
  for (const reference of right) assert.equal(faultOfImageReference(reference), undefined, reference);
  const wrong = ['', ' ', 'A', 'a//b', 'a:', 'a:b:c', 'a@sha256:12', 'a b', '/a', 'a/', 'a/_b', 'a/-b', 'a..b', 'a:-x'];
  for (const reference of [...wrong, 'http://a/b', 'a'.repeat(600)]) {
    assert.notEqual(faultOfImageReference(reference), undefined, reference);
  }
});
