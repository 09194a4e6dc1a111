import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Cause, Store, Workflow } from '../../store/store.ts';
import type { Transitions } from '../../store/transitions-contract.ts';
import type { ImageImports, ImportInLine } from './image-imports.ts';
import type { WantedImage } from './wanted-image.ts';
import { machineOf, runId, type WorkflowRuns, waitingFor } from './workflow-run.ts';

/** An import that a workflow waits for. */
export interface ImageWait {
  /** Its file name. */
  readonly image: string;
  /** Its URL, without passwords and signatures. */
  readonly source: string;
  /** Bytes of the source. */
  readonly done: number;
  readonly total?: number;
  readonly perSecond: number;
  /** While it waits for its turn: how many come first. */
  readonly before?: number;
  /** Why it makes no headway now, and is tried again. */
  readonly trouble?: string;
}

/** An import whose turn has not come. */
export interface WaitingImport extends Omit<ImportInLine, 'key'> {
  /** That wait for it. */
  readonly workflows: readonly string[];
}

export interface ImportWaitsOptions {
  readonly runs: WorkflowRuns;
  readonly imports: ImageImports;
  readonly store: Pick<Store, 'workflow'>;
  readonly transitions: Pick<Transitions, 'showImageProgress'>;
  readonly clock: () => Date;
  readonly log: Logger;
}

const SERVER: Cause = { actor: 'server' };
const SHOW_EVERY_MS = 2_000;

/** Tells people which workflow waits for which import, and how far that is. It changes nothing. */
export class ImportWaits {
  readonly #options: ImportWaitsOptions;

  constructor(options: ImportWaitsOptions) {
    this.#options = options;
  }

  /** What keeps the workflow's current task from beginning. */
  of(workflow: Workflow): readonly ImageWait[] {
    const run = this.#options.runs.get(workflow.name);
    if (run?.id !== runId(workflow) || workflow.accepted !== undefined) return [];
    return run.images.flatMap((image) =>
      image.isImported && image.outcome === undefined && image.wanted.task === workflow.task
        ? [this.#waitOf(image.wanted)]
        : [],
    );
  }

  /** Imports that wait for their turn, the next one first. */
  inLine(): readonly WaitingImport[] {
    const { runs, imports } = this.#options;
    return imports.waiting().map(({ key, ...waiting }) => {
      return { ...waiting, workflows: waitingFor(key, runs) };
    });
  }

  /** Names of the workflows that wait for a running import, by its job; undefined: it is none on first use. */
  forJob(id: string): readonly string[] | undefined {
    const { runs, imports } = this.#options;
    const key = imports.keyOf(id);
    return key === undefined ? undefined : waitingFor(key, runs);
  }

  /** For those who watch, until `signal`; nothing of it is stored. */
  async showProgress(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await delay(SHOW_EVERY_MS, undefined, { signal }).catch(() => undefined); // the loop ends by itself
      for (const [name, { images }] of this.#options.runs) {
        const image = images.find(
          ({ wanted, isHeld, isImported, outcome }) =>
            isImported && outcome === undefined && (isHeld || wanted.task === 0),
        );
        if (image === undefined || signal.aborted) continue;
        await this.#show(name, image.wanted);
      }
    }
  }

  async #show(name: string, wanted: WantedImage): Promise<void> {
    const { store, transitions, log } = this.#options;
    try {
      const workflow = await store.workflow(name);
      if (workflow === undefined) return;
      const data = { ...this.#waitOf(wanted), unit: 'bytes' };
      await transitions.showImageProgress({ ...machineOf(workflow, wanted.task), data }, SERVER);
    } catch (err) {
      log.debug({ err, workflow: name }, 'library.progressFailed');
    }
  }

  #waitOf({ key, file, shown }: WantedImage): ImageWait {
    const { imports, clock } = this.#options;
    const job = imports.progress(key);
    const seconds = job === undefined ? 0 : (clock().getTime() - job.startedAt.getTime()) / 1000;
    const done = job?.done ?? 0;
    const perSecond = seconds > 0 ? Math.round(done / seconds) : 0;
    const before = imports.waiting().find((waiting) => waiting.key === key)?.before;
    return {
      image: file,
      source: shown,
      done,
      perSecond,
      ...(job?.total !== undefined && { total: job.total }),
      ...(before !== undefined && { before }),
      ...(job?.trouble !== undefined && { trouble: job.trouble }),
    };
  }
}
