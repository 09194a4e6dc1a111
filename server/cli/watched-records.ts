import { TinsmithError } from '#proto/errors.ts';
import type { EventView, HardwareView, ListOf, WorkflowView } from '../api/types.ts';
import type { ApiClient, Query } from './api-client.ts';
import { KIND_PATHS, recordPath } from './resource-kind.ts';
import { isFinished, type Watched } from './watch-goal.ts';

export interface WatchedRecords extends Watched {
  readonly hardwareViews: readonly HardwareView[];
  readonly workflowViews: readonly WorkflowView[];
  /** For the server; `concerns` says exactly what is wanted. */
  readonly filter: Query;
  concerns(event: EventView): boolean;
}

/**
 * What `watch [NAME]` is about: a machine, else a workflow of that name; without a name all machines, and the workflows that
 * are not finished. @throws TinsmithError `not_found`.
 */
export async function watchedRecords(api: ApiClient, name: string | undefined): Promise<WatchedRecords> {
  if (name === undefined) return everything(api);
  const hardware = await unlessMissing(api.get<HardwareView>(recordPath('hardware', name)));
  if (hardware !== undefined) return oneMachine(api, hardware);
  const workflow = await unlessMissing(api.get<WorkflowView>(recordPath('workflow', name)));
  if (workflow === undefined) throw new TinsmithError('not_found', `there is no Hardware and no Workflow "${name}"`);
  return oneWorkflow(api, workflow);
}

async function everything(api: ApiClient): Promise<WatchedRecords> {
  const hardwareViews = (await api.get<ListOf<HardwareView>>(KIND_PATHS.hardware)).items;
  const all = (await api.get<ListOf<WorkflowView>>(KIND_PATHS.workflow)).items;
  const workflowViews = all.filter((workflow) => !isFinished(workflow));
  return {
    hardwareViews,
    workflowViews,
    hardware: [...new Set(workflowViews.flatMap(({ hardware }) => hardware))],
    workflows: workflowViews.map(({ name }) => name),
    filter: {},
    concerns: () => true,
  };
}

async function oneMachine(api: ApiClient, machine: HardwareView): Promise<WatchedRecords> {
  const { items } = await api.get<ListOf<WorkflowView>>(KIND_PATHS.workflow, { hardware: machine.name });
  const open = items.filter((workflow) => !isFinished(workflow));
  const workflowViews = open.length > 0 ? open : items.slice(-1);
  return {
    hardwareViews: [machine],
    workflowViews,
    hardware: [machine.name],
    workflows: workflowViews.map(({ name }) => name),
    filter: { hardware: machine.name },
    concerns: () => true,
  };
}

/** Its machines are watched with it: their boot is part of its story. */
async function oneWorkflow(api: ApiClient, workflow: WorkflowView): Promise<WatchedRecords> {
  const views = await Promise.all(
    workflow.hardware.map((name) => unlessMissing(api.get<HardwareView>(recordPath('hardware', name)))),
  );
  const machines = new Set(workflow.hardware);
  return {
    hardwareViews: views.filter((view) => view !== undefined),
    workflowViews: [workflow],
    hardware: workflow.hardware,
    workflows: [workflow.name],
    filter: {},
    concerns: (event) =>
      event.workflow === undefined ? machines.has(event.hardware ?? '') : event.workflow === workflow.name,
  };
}

async function unlessMissing<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request;
  } catch (error) {
    if (error instanceof TinsmithError && error.code === 'not_found') return undefined;
    throw error;
  }
}
