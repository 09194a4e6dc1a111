import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultOfSelector, matches } from './hardware-selector.ts';

const machine = (name: string, labels: Record<string, string> = {}) => ({ name, labels });

test('a selector matches a machine that has all of its labels', () => {
  const rack = machine('a', { type: 'cp', rack: '3' });

  assert.ok(matches(rack, { type: 'cp' }));
  assert.ok(matches(rack, { type: 'cp', rack: '3' }));
  assert.ok(!matches(rack, { type: 'cp', rack: '4' }));
  assert.ok(!matches(rack, { constructor: 'Object' }));
});

test('an unmatched value tells which values exist and which machine was meant', () => {
  const machines = [machine('eksabmhp1-cp-n-1', { type: 'cp' }), machine('eksabmhp1-dp-n-1', { type: 'cp' })];

  assert.equal(
    faultOfSelector({ type: 'dp' }, machines),
    'no Hardware has label type=dp: type=cp is on eksabmhp1-cp-n-1, eksabmhp1-dp-n-1 (did you mean to label eksabmhp1-dp-n-1 type=dp?)',
  );
});

test('an unmatched key tells which keys exist', () => {
  assert.equal(
    faultOfSelector({ role: 'cp' }, [machine('a', { type: 'cp', rack: '1' }), machine('b', { type: 'dp' })]),
    'no Hardware has label role=cp: no machine has a label role, the label keys are rack, type',
  );
  assert.equal(
    faultOfSelector({ role: 'cp' }, [machine('a')]),
    'no Hardware has label role=cp: no machine has a label role, no machine has any label',
  );
});

test('labels that exist on different machines only are told apart', () => {
  const machines = [machine('a', { type: 'cp' }), machine('b', { rack: '1' })];

  assert.equal(
    faultOfSelector({ type: 'cp', rack: '1' }, machines),
    'no Hardware has all labels of type=cp,rack=1: type=cp is on a; rack=1 is on b: add what is missing to one machine',
  );
});

test('without any machine the sentence says so, and a match is no fault', () => {
  assert.equal(faultOfSelector({ a: 'b' }, []), 'no Hardware has label a=b: there is no Hardware yet');
  assert.equal(faultOfSelector({ a: 'b' }, [machine('x', { a: 'b' })]), undefined);
});
