import { isDeepStrictEqual } from 'node:util';
import type { Insertable } from 'kysely';
import { TinsmithError } from '#proto/errors.ts';
import type { HardwareManifest } from '../manifests/hardware-kind.ts';
import type { TemplateManifest } from '../manifests/template-kind.ts';
import { insertAttemptRows, raiseFence } from './attempt-rows.ts';
import type { Change, Changes } from './change.ts';
import { findNodeRow } from './cluster-rows.ts';
import {
  addressesOf,
  type HardwareRow,
  hardwareRow,
  macsOf,
  specWithoutUserData,
  userDataPurpose,
} from './hardware-rows.ts';
import type { HardwareTable } from './schema.ts';
import { releaseNetboot, switchNetboot } from './stage-transitions.ts';
import type { AppliedRecord, PlannedWorkflow, Transitions } from './transitions-contract.ts';
import { findWorkflowRow, hardwareOfWorkflow, renderedPurpose, unfinishedOf, workflowRow } from './workflow-rows.ts';

type Verbs = 'apply' | 'deleteHardware' | 'deleteTemplate' | 'deleteWorkflow';

/** Manifests come and go. A manifest that is applied again makes no change, so a repeated request is harmless. */
export function applyTransitions(changes: Changes): Pick<Transitions, Verbs> {
  return {
    apply: ({ hardware, templates, workflows }, cause) =>
      changes.run(cause, async (change) => {
        const applied = await applyAllHardware(change, hardware);
        for (const template of templates) applied.push(await applyTemplate(change, template));
        for (const workflow of workflows) applied.push(await applyWorkflow(change, workflow));
        return applied;
      }),

    deleteHardware: (name, cause) =>
      changes.run(cause, async (change) => {
        await hardwareRow(change.trx, name);
        const [busy] = await unfinishedOf(change.trx, name);
        if (busy !== undefined) {
          throw new TinsmithError(
            'conflict',
            `cannot delete Hardware ${name}: Workflow ${busy.name} is ${busy.state} on it; cancel or delete that first`,
          );
        }
        const held = await findNodeRow(change.trx, name);
        if (held !== undefined) {
          throw new TinsmithError(
            'conflict',
            `cannot delete Hardware ${name}: it is a node of cluster ${held.cluster}; take it out first (tinsmith hardware release ${name})`,
          );
        }
        await change.trx.deleteFrom('hardware').where('name', '=', name).execute();
        await change.emit({ name: 'hardware.deleted', hardware: name, data: {} });
      }),

    deleteTemplate: (name, cause) =>
      changes.run(cause, async (change) => {
        const { numDeletedRows } = await change.trx
          .deleteFrom('template')
          .where('name', '=', name)
          .executeTakeFirstOrThrow();
        if (numDeletedRows === 0n) throw new TinsmithError('not_found', `there is no Template named ${name}`);
        await change.emit({ name: 'template.deleted', data: { template: name } });
      }),

    deleteWorkflow: (name, cause) =>
      changes.run(cause, async (change) => {
        const row = await workflowRow(change.trx, name);
        if (row.state === 'running' || row.state === 'waiting') {
          throw new TinsmithError('conflict', `cannot delete Workflow ${name}: it is ${row.state}; cancel it first`);
        }
        await change.trx.deleteFrom('workflow').where('id', '=', row.id).execute();
        const machines = hardwareOfWorkflow(row);
        await change.emit({ name: 'workflow.deleted', workflow: name, data: { hardware: machines } });
        if (row.state === 'pending') {
          for (const hardware of new Set(machines)) {
            await releaseNetboot(change, await hardwareRow(change.trx, hardware));
          }
        }
      }),
  };
}

async function applyAllHardware(change: Change, manifests: readonly HardwareManifest[]): Promise<AppliedRecord[]> {
  const applied: AppliedRecord[] = [];
  const changed: HardwareManifest[] = [];
  for (const manifest of manifests) {
    const record = await applyHardware(change, manifest);
    applied.push(record);
    if (record.outcome !== 'unchanged') changed.push(manifest);
  }
  // All old names of the machines go first: two records may have exchanged an interface.
  for (const { name } of changed) {
    await change.trx.deleteFrom('hardware_mac').where('hardware', '=', name).execute();
    await change.trx.deleteFrom('hardware_address').where('hardware', '=', name).execute();
  }
  for (const manifest of changed) await claimNames(change, manifest);
  return applied;
}

async function applyHardware(change: Change, manifest: HardwareManifest): Promise<AppliedRecord> {
  const { name } = manifest;
  const row = await change.trx.selectFrom('hardware').selectAll().where('name', '=', name).executeTakeFirst();
  const record = {
    labels_json: JSON.stringify(manifest.labels),
    annotations_json: JSON.stringify(manifest.annotations),
    spec_json: JSON.stringify(specWithoutUserData(manifest.spec)),
    // A node's user data is its cluster's: files that are applied again must not take its keys away.
    user_data_sealed: (await findNodeRow(change.trx, name))
      ? (row?.user_data_sealed ?? null)
      : sealedUserData(change, manifest, row),
  };
  if (row === undefined) {
    await change.trx
      .insertInto('hardware')
      .values(newHardware(change, name, record))
      .execute();
  } else {
    if (isSameHardware(row, record)) return { kind: 'Hardware', name, outcome: 'unchanged' };
    await change.trx
      .updateTable('hardware')
      .set({ ...record, version: row.version + 1 })
      .where('name', '=', name)
      .execute();
  }
  const outcome = row === undefined ? 'created' : 'configured';
  await change.emit({ name: 'hardware.applied', hardware: name, data: { outcome } });
  return { kind: 'Hardware', name, outcome };
}

type ManifestColumns = Pick<HardwareTable, 'labels_json' | 'annotations_json' | 'spec_json' | 'user_data_sealed'>;

/** A record as it begins: discovered, and booted from the network until a workflow has succeeded. */
export function newHardware(change: Change, name: string, record: ManifestColumns): Insertable<HardwareTable> {
  return {
    ...record,
    name,
    version: 1,
    created_at: change.at.getTime(),
    stage: 'discovered',
    stage_at: change.at.getTime(),
    netboot: 1,
  };
}

function sealedUserData(
  { box }: Change,
  { name, spec }: HardwareManifest,
  row: HardwareRow | undefined,
): string | null {
  const kept = row?.user_data_sealed ?? null;
  if (spec.userData === undefined) return kept;
  if (spec.userData === '') return null;
  // Sealing makes another text every time: what did not change stays as it is.
  if (kept !== null && box.open(userDataPurpose(name), kept) === spec.userData) return kept;
  return box.seal(userDataPurpose(name), spec.userData);
}

function isSameHardware(row: HardwareRow, record: ManifestColumns): boolean {
  return (
    row.user_data_sealed === record.user_data_sealed &&
    isDeepStrictEqual(JSON.parse(row.labels_json), JSON.parse(record.labels_json)) &&
    isDeepStrictEqual(JSON.parse(row.annotations_json), JSON.parse(record.annotations_json)) &&
    isDeepStrictEqual(JSON.parse(row.spec_json), JSON.parse(record.spec_json))
  );
}

/** Throws `conflict` if a MAC or address belongs to another Hardware. */
export async function claimNames(change: Change, manifest: HardwareManifest): Promise<void> {
  const { trx } = change;
  const hardware = manifest.name;
  for (const mac of macsOf(manifest)) {
    const owner = await trx.selectFrom('hardware_mac').selectAll().where('mac', '=', mac).executeTakeFirst();
    if (owner !== undefined) throw taken(hardware, `MAC ${mac}`, owner.hardware);
    await trx.insertInto('hardware_mac').values({ mac, hardware }).execute();
  }
  for (const address of addressesOf(manifest)) {
    const owner = await trx
      .selectFrom('hardware_address')
      .selectAll()
      .where('address', '=', address)
      .executeTakeFirst();
    if (owner !== undefined) throw taken(hardware, `address ${address}`, owner.hardware);
    await trx.insertInto('hardware_address').values({ address, hardware }).execute();
  }
}

function taken(hardware: string, what: string, owner: string): TinsmithError {
  return new TinsmithError('conflict', `cannot apply Hardware ${hardware}: its ${what} belongs to Hardware ${owner}`);
}

export async function applyTemplate(change: Change, manifest: TemplateManifest): Promise<AppliedRecord> {
  const { name } = manifest;
  const row = await change.trx.selectFrom('template').selectAll().where('name', '=', name).executeTakeFirst();
  const record = {
    labels_json: JSON.stringify(manifest.labels),
    annotations_json: JSON.stringify(manifest.annotations),
    data: manifest.data,
    source: manifest.source,
  };
  if (row === undefined) {
    await change.trx
      .insertInto('template')
      .values({ ...record, name, version: 1, created_at: change.at.getTime() })
      .execute();
  } else {
    const isSame =
      row.data === record.data &&
      row.source === record.source &&
      isDeepStrictEqual(JSON.parse(row.labels_json), manifest.labels) &&
      isDeepStrictEqual(JSON.parse(row.annotations_json), manifest.annotations);
    if (isSame) return { kind: 'Template', name, outcome: 'unchanged' };
    await change.trx
      .updateTable('template')
      .set({ ...record, version: row.version + 1 })
      .where('name', '=', name)
      .execute();
  }
  const outcome = row === undefined ? 'created' : 'configured';
  await change.emit({ name: 'template.applied', data: { template: name, outcome } });
  return { kind: 'Template', name, outcome };
}

export async function applyWorkflow(change: Change, planned: PlannedWorkflow): Promise<AppliedRecord> {
  const { name, spec } = planned.manifest;
  const existing = await findWorkflowRow(change.trx, name);
  if (existing !== undefined) {
    if (isDeepStrictEqual(JSON.parse(existing.spec_json), JSON.parse(JSON.stringify(spec)))) {
      return { kind: 'Workflow', name, outcome: 'unchanged' };
    }
    throw new TinsmithError(
      'conflict',
      `cannot apply Workflow ${name}: one of that name exists with another spec; delete it or choose another name`,
    );
  }
  const machines = await checkMachines(change, planned);
  await insertWorkflow(change, planned);
  const data = { template: spec.templateRef, hardware: [...planned.hardware], disabled: spec.disabled === true };
  const [first] = planned.hardware;
  await change.emit({
    name: 'workflow.created',
    workflow: name,
    ...(first === undefined ? {} : { hardware: first }),
    data,
  });
  if (spec.disabled !== true) for (const machine of machines) await switchNetboot(change, machine, true);
  return { kind: 'Workflow', name, outcome: 'created' };
}

async function checkMachines(change: Change, planned: PlannedWorkflow): Promise<readonly HardwareRow[]> {
  const { name } = planned.manifest;
  const { tasks } = planned.rendered;
  if (tasks.length === 0 || tasks.length !== planned.hardware.length) {
    throw new TinsmithError(
      'invalid_input',
      `cannot apply Workflow ${name}: it has ${tasks.length} tasks for ${planned.hardware.length} machines`,
    );
  }
  const empty = tasks.find((task) => task.actions.length === 0);
  if (empty !== undefined) {
    throw new TinsmithError('invalid_input', `cannot apply Workflow ${name}: its task ${empty.name} has no actions`);
  }
  const machines: HardwareRow[] = [];
  for (const hardware of new Set(planned.hardware)) {
    const machine = await hardwareRow(change.trx, hardware);
    const [busy] = planned.chosen ? await unfinishedOf(change.trx, hardware) : [];
    if (busy !== undefined || machine.stage === 'retired') {
      const fact = busy === undefined ? 'is retired' : `is taken by Workflow ${busy.name} (${busy.state})`;
      throw new TinsmithError('conflict', `cannot apply Workflow ${name}: Hardware ${hardware} ${fact}`);
    }
    machines.push(machine);
  }
  return machines;
}

async function insertWorkflow(change: Change, { manifest, rendered, hardware }: PlannedWorkflow): Promise<void> {
  const { name, spec } = manifest;
  const attempt = await raiseFence(change, name);
  const { insertId } = await change.trx
    .insertInto('workflow')
    .values({
      name,
      version: 1,
      created_at: change.at.getTime(),
      state: 'pending',
      state_at: change.at.getTime(),
      disabled: spec.disabled === true ? 1 : 0,
      labels_json: JSON.stringify(manifest.labels),
      annotations_json: JSON.stringify(manifest.annotations),
      spec_json: JSON.stringify(spec),
      rendered_sealed: change.box.seal(renderedPurpose(name), JSON.stringify(rendered)),
      hardware_json: JSON.stringify(hardware),
      attempt,
      attempts_of_run: 1,
      task: 0,
      task_begun: 0,
    })
    .executeTakeFirstOrThrow();
  const workflowId = Number(insertId);
  await change.trx
    .insertInto('workflow_hardware')
    .values(hardware.map((machine, task) => ({ workflow_id: workflowId, task, hardware: machine })))
    .execute();
  await insertAttemptRows(change, { workflowId, attempt, firstTask: 0, rendered });
}
