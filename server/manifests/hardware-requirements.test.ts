import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { affinityScore, fits, requirementsText } from './hardware-requirements.ts';
import type { AffinityTerm, HardwareAffinity, LabelExpression } from './machine-config-kind.ts';

const machine = (labels: Readonly<Record<string, string>>) => ({ name: 'm', labels });
const term = (matchLabels: Readonly<Record<string, string>>, ...matchExpressions: LabelExpression[]): AffinityTerm => ({
  matchLabels,
  matchExpressions,
});
const needs = (...required: AffinityTerm[]): { hardwareAffinity: HardwareAffinity } => ({
  hardwareAffinity: { required, preferred: [] },
});

describe('hardware requirements', () => {
  it('takes machines that have the label of the selector', () => {
    const config = { hardwareSelector: { type: 'cp' } };

    assert.equal(fits(machine({ type: 'cp', rack: 'a' }), config), true);
    assert.equal(fits(machine({ type: 'dp' }), config), false);
    assert.equal(fits(machine({}), config), false);
  });

  it('takes machines that match any of the required terms, each whole', () => {
    const config = needs(term({ type: 'cp', rack: 'a' }), term({ gpu: 'yes' }));

    assert.equal(fits(machine({ type: 'cp', rack: 'a' }), config), true);
    assert.equal(fits(machine({ gpu: 'yes' }), config), true);
    assert.equal(fits(machine({ type: 'cp', rack: 'b' }), config), false);
  });

  it('reads expressions as Kubernetes does', () => {
    const cases: readonly (readonly [LabelExpression, Readonly<Record<string, string>>, boolean])[] = [
      [{ key: 'rack', operator: 'In', values: ['a', 'b'] }, { rack: 'b' }, true],
      [{ key: 'rack', operator: 'In', values: ['a', 'b'] }, { rack: 'c' }, false],
      [{ key: 'rack', operator: 'In', values: ['a', 'b'] }, {}, false],
      [{ key: 'rack', operator: 'NotIn', values: ['a'] }, { rack: 'a' }, false],
      [{ key: 'rack', operator: 'NotIn', values: ['a'] }, { rack: 'b' }, true],
      [{ key: 'rack', operator: 'NotIn', values: ['a'] }, {}, true],
      [{ key: 'rack', operator: 'Exists', values: [] }, { rack: '' }, true],
      [{ key: 'rack', operator: 'Exists', values: [] }, {}, false],
      [{ key: 'rack', operator: 'DoesNotExist', values: [] }, {}, true],
      [{ key: 'rack', operator: 'DoesNotExist', values: [] }, { rack: 'a' }, false],
      [{ key: 'toString', operator: 'Exists', values: [] }, {}, false],
    ];

    for (const [expression, labels, expected] of cases) {
      assert.equal(fits(machine(labels), needs(term({}, expression))), expected, JSON.stringify([expression, labels]));
    }
  });

  it('adds up the weights of all preferred terms that match', () => {
    const preferred = [
      { weight: 10, term: term({ rack: 'a' }) },
      { weight: 20, term: term({}, { key: 'gpu', operator: 'Exists' as const, values: [] }) },
      { weight: 50, term: term({ rack: 'b' }) },
    ];
    const config = { hardwareAffinity: { required: [term({})], preferred } };

    assert.equal(affinityScore(machine({ rack: 'a', gpu: 'x' }), config), 30);
    assert.equal(affinityScore(machine({ rack: 'b' }), config), 50);
    assert.equal(affinityScore(machine({}), config), 0);
    assert.equal(affinityScore(machine({}), { hardwareSelector: { type: 'cp' } }), 0);
  });

  it('says what is needed in few words', () => {
    const expressions: LabelExpression[] = [
      { key: 'rack', operator: 'In', values: ['a', 'b'] },
      { key: 'gpu', operator: 'DoesNotExist', values: [] },
    ];

    assert.equal(requirementsText({ hardwareSelector: { type: 'cp' } }), 'type=cp');
    assert.equal(
      requirementsText(needs(term({ type: 'cp' }, ...expressions), term({}))),
      'type=cp and rack in (a, b) and no gpu or any machine',
    );
  });
});
