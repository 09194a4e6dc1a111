import { isDeepStrictEqual } from 'node:util';
import { type Problem, TinsmithError } from '#proto/errors.ts';
import { libraryNames } from '../library/image-use.ts';
import { workflowLife } from '../life/workflow-life.ts';
import type { ActionImages } from '../manifests/action-images.ts';
import { type LoadedManifests, loadManifests } from '../manifests/load-manifests.ts';
import { placeOf } from '../manifests/located.ts';
import { planApply } from '../manifests/plan-apply.ts';
import type { Cause, Hardware, Store, Template, Workflow } from '../store/store.ts';
import type { AppliedRecord, ApplyChange, Transitions } from '../store/transitions-contract.ts';
import { clusterImageUsers, type ImageUser, imageWarnings } from './image-warnings.ts';
import type { ApiDeps } from './route.ts';
import type { ApplyRequest, ApplyResponse } from './types.ts';

interface ApplyParts {
  readonly store: Store;
  readonly transitions: Transitions;
  readonly actionTimeoutMs: number;
  readonly actionImages?: ActionImages;
  readonly images: ApiDeps['images'];
  readonly cause: Cause;
}

interface Known {
  readonly hardware: readonly Hardware[];
  readonly templates: readonly Template[];
  readonly workflows: readonly Workflow[];
}

/**
 * Parses, checks and stores manifests: all of them or none. Throws `invalid_input` that carries every problem of every file,
 * and `conflict` when somebody else's change came between.
 */
export async function applyManifests(request: ApplyRequest, parts: ApplyParts): Promise<ApplyResponse> {
  const { store, transitions, actionTimeoutMs, actionImages, images, cause } = parts;
  const loaded = loadManifests(request.files, actionImages);
  const known: Known = {
    hardware: await store.listHardware(),
    templates: await store.listTemplates(),
    workflows: await store.listWorkflows(),
  };
  const plan = planApply(loaded, known, { actionTimeoutMs, ...(actionImages && { actionImages }) });
  const problems = [...loaded.problems, ...plan.problems];
  if (problems.length > 0) {
    const count = problems.length === 1 ? 'one problem' : `${problems.length} problems`;
    throw new TinsmithError('invalid_input', `nothing was applied: the files have ${count}`, { problems });
  }
  const dryRun = request.dryRun ?? false;
  const records = dryRun ? foreseen(plan.change, known) : await transitions.apply(plan.change, cause);
  const users = [...workflowImageUsers(plan.change, { loaded, known }), ...clusterImageUsers(loaded)];
  const imageFaults = [
    ...(await imageWarnings(users, images)),
    ...refusedFetches(plan.change, { loaded, known }, images),
  ];
  return { dryRun, records, warnings: [...loaded.warnings, ...plan.warnings, ...imageFaults, ...notApplied(loaded)] };
}

interface Applied {
  readonly loaded: LoadedManifests;
  readonly known: Known;
}

function workflowImageUsers(change: ApplyChange, applied: Applied): readonly ImageUser[] {
  return unfinishedWorkflows(change, applied).map(({ name, rendered, at }) => {
    return { who: `Workflow ${name}`, at, names: libraryNames(rendered.tasks) };
  });
}

/** Those that fail as soon as they are stored. */
function refusedFetches(change: ApplyChange, applied: Applied, { firstUse }: ApiDeps['images']): readonly Problem[] {
  return unfinishedWorkflows(change, applied).flatMap((workflow) => {
    const { file, line, column } = workflow.at;
    const [refused] = firstUse?.refusalsOf(workflow) ?? [];
    if (refused === undefined) return [];
    return [{ file, line, column, message: `Workflow ${workflow.name} will fail: ${refused.message}` }];
  });
}

/** Workflows of the files that are new or not finished. */
function unfinishedWorkflows({ workflows }: ApplyChange, { loaded, known }: Applied) {
  const finished = new Set(known.workflows.filter(({ state }) => workflowLife.isFinal(state)).map(({ name }) => name));
  const places = new Map(loaded.workflows.map((each) => [each.value.name, placeOf(each, 'spec.templateRef')]));
  return workflows.flatMap(({ manifest: { name }, rendered }) => {
    const at = places.get(name);
    if (at === undefined || finished.has(name)) return [];
    return [{ name, rendered, at }];
  });
}

/** A cluster is more than a record: making it claims machines and erases disks, so it is a command of its own. */
function notApplied({ clusters }: LoadedManifests): readonly Problem[] {
  const how = 'is checked and not made by apply';
  return clusters.map(({ value: { name }, at }) => {
    const { file, line, column } = at;
    const message = `Cluster ${name} ${how}: use tinsmith cluster create -f ${file === '-' ? 'FILE' : file}`;
    return { file, line, column, message };
  });
}

/** What an apply would answer. Throws the `conflict` that it would throw. */
function foreseen(change: ApplyChange, known: Known): readonly AppliedRecord[] {
  const hardware = change.hardware.map((manifest) => {
    const before = known.hardware.find(({ name }) => name === manifest.name);
    // Stored user data is not read back for a comparison: with user data the answer is the careful one.
    const isSame = before !== undefined && manifest.spec.userData === undefined && isSameManifest(before, manifest);
    return record('Hardware', manifest.name, before && { isSame });
  });
  const templates = change.templates.map((manifest) => {
    const before = known.templates.find(({ name }) => name === manifest.name);
    const isSame = before !== undefined && before.data === manifest.data && haveSameLabels(before, manifest);
    return record('Template', manifest.name, before && { isSame });
  });
  const workflows = change.workflows.map(({ manifest }) => {
    const before = known.workflows.find(({ name }) => name === manifest.name);
    if (before !== undefined && !isDeepStrictEqual(plain(before.spec), plain(manifest.spec))) {
      throw new TinsmithError(
        'conflict',
        `Workflow "${manifest.name}" exists with another spec: delete it first or choose another name`,
      );
    }
    return record('Workflow', manifest.name, before && { isSame: true });
  });
  return [...hardware, ...templates, ...workflows];
}

function record(
  kind: AppliedRecord['kind'],
  name: string,
  before: { readonly isSame: boolean } | undefined,
): AppliedRecord {
  if (before === undefined) return { kind, name, outcome: 'created' };
  return { kind, name, outcome: before.isSame ? 'unchanged' : 'configured' };
}

interface Labelled {
  readonly labels: object;
  readonly annotations: object;
}

function isSameManifest(before: Labelled & { spec: object }, after: Labelled & { spec: object }): boolean {
  return isDeepStrictEqual(plain(before.spec), plain(after.spec)) && haveSameLabels(before, after);
}

function haveSameLabels(before: Labelled, after: Labelled): boolean {
  return isDeepStrictEqual(before.labels, after.labels) && isDeepStrictEqual(before.annotations, after.annotations);
}

/** Without the fields that are `undefined`: those do not survive storing. */
function plain(value: object): unknown {
  return JSON.parse(JSON.stringify(value));
}
