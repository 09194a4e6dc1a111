import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterDefinition } from '#test/support/cluster-records.ts';
import type { HardwareAffinity, MachineConfigManifest } from '../manifests/machine-config-kind.ts';
import { assignMachines, candidates, type Demand, rankedSpares } from './assign-machines.ts';
import { type NodeGroup, nodeGroups } from './node-groups.ts';

type Labels = Readonly<Record<string, string>>;
interface Machine {
  readonly name: string;
  readonly labels: Labels;
}

function group(name: string, needs: Partial<MachineConfigManifest>): NodeGroup {
  const [controlPlane] = nodeGroups(clusterDefinition());
  assert.ok(controlPlane !== undefined);
  const { hardwareSelector: _, ...config } = controlPlane.machineConfig;
  return { ...controlPlane, name, machineConfig: { ...config, name, ...needs } };
}

const selecting = (name: string, hardwareSelector: Labels): NodeGroup => group(name, { hardwareSelector });

function machines(named: Readonly<Record<string, Labels>>): readonly Machine[] {
  return Object.entries(named).map(([name, labels]) => ({ name, labels }));
}

function demands(free: readonly Machine[], ...wanted: readonly (readonly [NodeGroup, number])[]): readonly Demand[] {
  return wanted.map(([each, missing]) => ({ group: each, missing, fitting: candidates(each, free) }));
}

const term = (matchLabels: Labels) => ({ matchLabels, matchExpressions: [] });

/** `cp: a, b` of each group. */
function chosen(assigned: readonly Demand[]): readonly string[] {
  const { choices } = assignMachines(assigned);
  return assigned.map(({ group: { name } }) => {
    const own = choices.filter((choice) => choice.group === name).map(({ machine }) => machine);
    return `${name}: ${own.join(', ')}`;
  });
}

/** The most places that any assignment can fill, by trying all. */
function mostPlaces(places: readonly (readonly string[])[]): number {
  const [first, ...rest] = places;
  if (first === undefined) return 0;
  const without = (taken: string) => rest.map((names) => names.filter((name) => name !== taken));
  return Math.max(mostPlaces(rest), ...first.map((name) => 1 + mostPlaces(without(name))));
}

/** Numbers that look random and are the same in every run (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

describe('choice of machines', () => {
  it('takes those with the label, by name, and says why', () => {
    const free = machines({ c: { type: 'cp' }, a: { type: 'cp' }, b: { type: 'dp' }, d: { type: 'cp' } });

    const { choices } = assignMachines(demands(free, [selecting('cp', { type: 'cp' }), 2]));

    assert.deepEqual(choices, [
      { machine: 'a', group: 'cp', reason: 'label type=cp; first free by name' },
      { machine: 'c', group: 'cp', reason: 'label type=cp; next free by name' },
    ]);
  });

  it('prefers by the sum of the weights, then by name', () => {
    const hardwareAffinity: HardwareAffinity = {
      required: [term({ type: 'cp' }), term({ type: 'any' })],
      preferred: [
        { weight: 20, term: term({ rack: 'a' }) },
        { weight: 10, term: term({ ssd: 'yes' }) },
      ],
    };
    const free = machines({
      a: { type: 'cp' },
      b: { type: 'any', rack: 'a' },
      c: { type: 'cp', rack: 'a', ssd: 'yes' },
      d: { type: 'dp', rack: 'a', ssd: 'yes' },
    });

    const { choices } = assignMachines(demands(free, [group('cp', { hardwareAffinity }), 3]));

    assert.deepEqual(
      choices.map(({ machine, reason }) => `${machine}: ${reason}`),
      [
        'c: type=cp or type=any; affinity score 30; first free by name',
        'b: type=cp or type=any; affinity score 20; next free by name',
        'a: type=cp or type=any; affinity score 0; next free by name',
      ],
    );
  });

  it('serves the control plane first and gives nobody a machine twice', () => {
    const free = machines({ a: { type: 'x' }, b: { type: 'x' }, c: { type: 'x' } });
    const wanted = demands(free, [selecting('cp', { type: 'x' }), 2], [selecting('w', { type: 'x' }), 1]);

    assert.deepEqual(chosen(wanted), ['cp: a, b', 'w: c']);
  });

  it('moves an earlier group to another machine where a later one has no choice', () => {
    const free = machines({ a: { type: 'cp', gpu: 'yes' }, b: { type: 'cp' } });
    const wanted = demands(free, [selecting('cp', { type: 'cp' }), 1], [selecting('gpu', { gpu: 'yes' }), 1]);

    assert.deepEqual(chosen(wanted), ['cp: b', 'gpu: a']);
    assert.equal(assignMachines(wanted).choices[0]?.reason, 'label type=cp; first free by name; a goes to gpu');
  });

  it('tells which groups need more machines together than fit them', () => {
    const free = machines({ a: { type: 'x' }, b: { type: 'x' }, c: { type: 'y' } });
    const wanted = demands(
      free,
      [selecting('cp', { type: 'x' }), 2],
      [selecting('w', { type: 'x' }), 3],
      [selecting('y', { type: 'y' }), 1],
    );

    const { shortages } = assignMachines(wanted);

    assert.deepEqual(
      shortages.map(({ groups, needed, fitting }) => ({ groups: groups.map(({ name }) => name), needed, fitting })),
      [{ groups: ['cp', 'w'], needed: 5, fitting: ['a', 'b'] }],
    );
  });

  it('tells of a group for which there is no machine at all', () => {
    const wanted = demands(machines({ a: { type: 'x' } }), [selecting('w', { type: 'nobody' }), 1]);

    const [shortage] = assignMachines(wanted).shortages;

    assert.deepEqual([shortage?.needed, shortage?.fitting], [1, []]);
  });

  it('fills as many places as any assignment can, each with a machine that fits', () => {
    const next = numbers(7);
    for (let round = 0; round < 300; round += 1) {
      const free = Array.from({ length: 1 + next(6) }, (_, index): Machine => {
        const labels = Object.fromEntries(['p', 'q', 'r'].filter(() => next(2) === 1).map((key) => [key, 'yes']));
        return { name: `m${index}`, labels };
      });
      const wanted = demands(
        free,
        ...['p', 'q', 'r'].map((key) => [selecting(key, { [key]: 'yes' }), next(4)] as const),
      );
      const places = wanted.flatMap(({ missing, fitting }) =>
        Array.from({ length: missing }, () => fitting.map(({ name }) => name)),
      );

      const { choices, shortages } = assignMachines(wanted);

      assert.equal(choices.length, mostPlaces(places), JSON.stringify(places));
      assert.equal(new Set(choices.map(({ machine }) => machine)).size, choices.length);
      for (const { machine, group: name } of choices) {
        assert.equal(free.find((each) => each.name === machine)?.labels[name], 'yes');
      }
      assert.equal(shortages.length > 0, choices.length < places.length);
      for (const { needed, fitting } of shortages) assert.ok(needed > fitting.length);
    }
  });

  it('orders the spares so that taking from the front, group after group, is that assignment', () => {
    const free = machines({ a: { type: 'cp', gpu: 'yes' }, b: { type: 'cp' }, c: { type: 'cp' }, d: { gpu: 'yes' } });
    const wanted = demands(free, [selecting('cp', { type: 'cp' }), 1], [selecting('gpu', { gpu: 'yes' }), 2]);

    const spares = rankedSpares(wanted);

    assert.deepEqual(spares.get('cp'), ['b', 'c', 'a']);
    assert.deepEqual(spares.get('gpu'), ['a', 'd']);
  });
});
