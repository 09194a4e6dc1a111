import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hardwareManifest, macOf, plannedWorkflow } from '#test/support/records.ts';
import { operator, startStoreWorld } from '#test/support/store-world.ts';

const template = { name: 't', labels: {}, annotations: {}, data: 'tasks: []', source: 'Template' } as const;

describe('applying manifests', () => {
  it('changes nothing the second time', async () => {
    await using world = await startStoreWorld();
    const change = {
      hardware: [hardwareManifest('new', 9, { userData: 'secret' })],
      templates: [template],
      workflows: [plannedWorkflow('w', ['new'])],
    };

    const first = await world.transitions.apply(change, operator);
    const before = await world.newestEvent();
    const record = await world.hardware('new');
    const second = await world.transitions.apply(change, operator);

    assert.deepEqual(
      first.map(({ kind, outcome }) => `${kind} ${outcome}`),
      ['Hardware created', 'Template created', 'Workflow created'],
    );
    assert.deepEqual(
      second.map(({ outcome }) => outcome),
      ['unchanged', 'unchanged', 'unchanged'],
    );
    assert.deepEqual(await world.eventNames(before), []);
    assert.deepEqual(await world.hardware('new'), record);
  });

  it('tells a changed manifest from one whose keys are only in another order', async () => {
    await using world = await startStoreWorld();
    const manifest = hardwareManifest('m1', 1);
    const { disks, interfaces } = manifest.spec;
    const apply = async (spec: typeof manifest.spec) => {
      const change = { hardware: [{ ...manifest, spec }], templates: [], workflows: [] };
      return (await world.transitions.apply(change, operator))[0]?.outcome;
    };

    assert.equal(await apply({ disks, interfaces }), 'unchanged');
    assert.equal(await apply({ interfaces, disks: [{ device: '/dev/sda' }] }), 'configured');
    assert.equal((await world.hardware('m1')).version, 3); // created, agent connected, configured
  });

  it('is all or nothing', async () => {
    await using world = await startStoreWorld();
    const before = await world.newestEvent();
    const change = {
      hardware: [hardwareManifest('a', 20), hardwareManifest('b', 1)],
      templates: [template],
      workflows: [],
    };

    await assert.rejects(world.transitions.apply(change, operator), /MAC 02:00:00:00:00:01 belongs to Hardware m1/);

    assert.equal(await world.store.hardware('a'), undefined);
    assert.equal(await world.store.template('t'), undefined);
    assert.deepEqual(await world.eventNames(before), []);
  });

  it('lets two machines exchange their interfaces in one change', async () => {
    await using world = await startStoreWorld();
    const change = { hardware: [hardwareManifest('m1', 2), hardwareManifest('m2', 1)], templates: [], workflows: [] };

    await world.transitions.apply(change, operator);

    assert.equal((await world.store.hardwareByMac(macOf(1)))?.name, 'm2');
    assert.equal((await world.store.hardwareByAddress('10.9.0.2'))?.name, 'm1');
  });

  it('keeps user data out of the record and in the secret box; without the field it stays, empty it goes', async () => {
    await using world = await startStoreWorld();
    const apply = async (userData?: string) => {
      const spec = userData === undefined ? {} : { userData };
      await world.transitions.apply(
        { hardware: [hardwareManifest('m1', 1, spec)], templates: [], workflows: [] },
        operator,
      );
      return world.store.userData('m1');
    };

    assert.equal(await apply('#cloud-config'), '#cloud-config');
    const record = await world.hardware('m1');
    assert.equal(record.hasUserData, true);
    assert.ok(!JSON.stringify(record).includes('cloud-config'));
    assert.ok(!JSON.stringify(await world.store.events()).includes('cloud-config'));
    assert.equal(await apply(), '#cloud-config');
    assert.equal(await apply(''), undefined);
    assert.equal((await world.hardware('m1')).hasUserData, false);
  });

  it('refuses another spec for an existing workflow, and the same one is unchanged whatever it renders to', async () => {
    await using world = await startStoreWorld();
    const planned = plannedWorkflow('w', ['m1']);
    await world.apply(planned);
    const other = {
      ...planned,
      manifest: { ...planned.manifest, spec: { ...planned.manifest.spec, templateRef: 'x' } },
    };

    await world.apply({ ...plannedWorkflow('w', ['m2'], { images: ['cexec'] }), manifest: planned.manifest });
    await assert.rejects(world.apply(other), { code: 'conflict' });

    assert.deepEqual((await world.workflow('w')).hardware, ['m1']);
  });

  it('refuses a machine that was chosen by label and is taken by now, but queues on a named one', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));

    await assert.rejects(
      world.apply(plannedWorkflow('x', ['m1'], { chosen: true })),
      /taken by Workflow w \(pending\)/,
    );
    await world.apply(plannedWorkflow('y', ['m1']));

    assert.equal(await world.store.workflow('x'), undefined);
    assert.equal((await world.workflow('y')).state, 'pending');
  });

  it('refuses workflows that could never run', async () => {
    await using world = await startStoreWorld();
    const planned = plannedWorkflow('w', ['m1']);

    await assert.rejects(world.apply({ ...planned, hardware: [] }), { code: 'invalid_input' });
    await assert.rejects(world.apply(plannedWorkflow('w', ['m1'], { images: [] })), { code: 'invalid_input' });
    await assert.rejects(world.apply(plannedWorkflow('w', ['nobody'])), { code: 'not_found' });
  });

  it('switches netboot on for a new workflow, unless that is disabled', async () => {
    await using world = await startStoreWorld();
    await world.transitions.setNetboot('m1', false, operator);

    await world.apply(plannedWorkflow('off', ['m1'], { disabled: true }));
    const whileDisabled = (await world.hardware('m1')).netboot;
    await world.apply(plannedWorkflow('on', ['m1']));

    assert.equal(whileDisabled, false);
    assert.equal((await world.hardware('m1')).netboot, true);
  });
});

describe('deleting', () => {
  it('refuses a machine with an unfinished workflow, and a workflow that runs', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    const stored = { session: 's1', sequence: 1, hardware: 'm1' };
    await world.transitions.taskAccepted({ workflow: 'w', attempt: 1, task: 0 }, stored, operator);

    await assert.rejects(world.transitions.deleteHardware('m1', operator), /Workflow w is running on it/);
    await assert.rejects(world.transitions.deleteWorkflow('w', operator), /cancel it first/);
    await world.transitions.cancelWorkflow('w', 'enough', operator);
    await world.transitions.deleteHardware('m1', operator);
    await world.transitions.deleteWorkflow('w', operator);

    assert.equal(await world.store.hardwareByMac(macOf(1)), undefined);
    assert.deepEqual(await world.store.listWorkflows(), []);
    await assert.rejects(world.store.logLines('w'), { code: 'not_found' });
  });

  it('of what does not exist is not found', async () => {
    await using world = await startStoreWorld();
    await assert.rejects(world.transitions.deleteHardware('x', operator), { code: 'not_found' });
    await assert.rejects(world.transitions.deleteTemplate('x', operator), { code: 'not_found' });
    await assert.rejects(world.transitions.deleteWorkflow('x', operator), { code: 'not_found' });
  });

  it('of a pending workflow lets an installed machine boot its disk again, one without a system stay on netboot', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('install', ['m1'], { images: ['image2disk'] }));
    const ref = { workflow: 'install', attempt: 1, task: 0 };
    const at = world.clock.now();
    await world.transitions.taskAccepted(ref, { session: 's1', sequence: 1, hardware: 'm1' }, operator);
    const result = { outcome: 'succeeded', at, exitCode: 0, tries: 1 } as const;
    await world.transitions.actionFinished(
      { ...ref, action: 0 },
      result,
      { session: 's1', sequence: 2, hardware: 'm1' },
      operator,
    );

    await world.apply(plannedWorkflow('again', ['m1', 'm2']));
    const meanwhile = (await world.hardware('m1')).netboot;
    await world.transitions.deleteWorkflow('again', operator);

    assert.equal(meanwhile, true);
    assert.equal((await world.hardware('m1')).netboot, false);
    assert.equal((await world.hardware('m2')).netboot, true);
  });

  it('never lets reports for a deleted workflow fit one of the same name', async () => {
    await using world = await startStoreWorld();
    await world.apply(plannedWorkflow('w', ['m1']));
    await world.transitions.deleteWorkflow('w', operator);
    await world.apply(plannedWorkflow('w', ['m1']));

    const stored = { session: 's1', sequence: 1, hardware: 'm1' };
    await world.transitions.taskAccepted({ workflow: 'w', attempt: 1, task: 0 }, stored, operator);

    const workflow = await world.workflow('w');
    assert.equal(workflow.attempt, 2);
    assert.equal(workflow.state, 'pending');
  });
});
