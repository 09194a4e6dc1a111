import type { Workflow } from '../../store/store.ts';
import type { ImageOutcome } from './decide-image.ts';
import type { OutsideFetch } from './outside-fetch.ts';
import type { WantedImage } from './wanted-image.ts';

/** One run of a workflow, and what becomes of its images: a retry is another run, an attempt that follows a lost one is not. */
export interface WorkflowRun {
  /** See `runId`. */
  readonly id: string;
  /** What its machines may not fetch. */
  readonly refused: readonly OutsideFetch[];
  readonly images: readonly RunImage[];
}

/** One image of a run, and how far it is. */
export interface RunImage {
  readonly wanted: WantedImage;
  outcome: ImageOutcome | undefined;
  isImported: boolean;
  /** Its machine asked for the task. */
  isHeld: boolean;
}

/** By the name of the workflow. */
export type WorkflowRuns = ReadonlyMap<string, WorkflowRun>;

/** Names of the workflows that wait for the image of a URL; see `urlKey`. */
export function waitingFor(key: string, runs: WorkflowRuns): readonly string[] {
  const waits = ({ wanted, outcome }: RunImage): boolean => wanted.key === key && outcome === undefined;
  return [...runs].filter(([, { images }]) => images.some(waits)).map(([name]) => name);
}

/** What tells one run of a workflow from another, also from one of another workflow that had its name. */
export function runId({ queueOrder, attempt, attemptsOfRun }: Workflow): string {
  return `${queueOrder}/${attempt - attemptsOfRun}`;
}

/** Whom an event about a task of a workflow is for. */
export function machineOf(
  { name, hardware }: Workflow,
  task: number,
): { readonly workflow: string; readonly hardware?: string } {
  const machine = hardware[task];
  return { workflow: name, ...(machine !== undefined && { hardware: machine }) };
}
