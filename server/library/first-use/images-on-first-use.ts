import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import type { EventName } from '../../life/events.ts';
import { workflowLife } from '../../life/workflow-life.ts';
import type { Cause, Store, Workflow } from '../../store/store.ts';
import type { Transitions } from '../../store/transitions-contract.ts';
import type { ImageJob, ImageJobs } from '../image-jobs.ts';
import type { ImageLibrary } from '../image-library.ts';
import type { FirstUseMode, ImageFault, ImageOutcome } from './decide-image.ts';
import { ImageImports } from './image-imports.ts';
import { ImageSettler } from './image-settler.ts';
import { type ImageWait, ImportWaits, type WaitingImport } from './import-waits.ts';
import { type OutsideFetch, outsideFetches } from './outside-fetch.ts';
import { type WantedImage, wantedImages } from './wanted-image.ts';
import { machineOf, type RunImage, runId, type WorkflowRun, waitingFor } from './workflow-run.ts';

/** What it works with. */
export interface FirstUseOptions {
  readonly mode: FirstUseMode;
  readonly store: Store;
  readonly transitions: Transitions;
  readonly library: ImageLibrary;
  readonly jobs: ImageJobs;
  readonly clock: () => Date;
  readonly log: Logger;
  /** For actions that name no proxy. */
  readonly proxy?: string;
  /** Whether a URL is this server's own: its images need no import. */
  readonly isOwn: (url: URL) => boolean;
}

/** What the images of a workflow's current task are. */
export type TaskImages =
  | { readonly kind: 'waiting' }
  /** Digest of the library's image by the index of the action; the others fetch what they name. */
  | { readonly kind: 'ready'; readonly digests: ReadonlyMap<number, string> }
  | { readonly kind: 'failed'; readonly fault: ImageFault };

/** Gives workflows that name outside URLs the library's images. Disposing it ends its own work, not the imports. */
export interface ImagesOnFirstUse extends AsyncDisposable {
  /** Asked before a task is given to its agent; the event `workflow.imageReady` says when to ask again. */
  forTask(workflow: Workflow): TaskImages;
  /** What keeps the workflow's current task from beginning. */
  waitsOf(workflow: Workflow): readonly ImageWait[];
  /** Why a workflow that is made will fail, whatever is imported. */
  refusalsOf(workflow: Pick<Workflow, 'rendered'>): readonly TinsmithError[];
  /** Imports that wait for their turn, the next one first. */
  waitingImports(): readonly WaitingImport[];
  /** Names of the workflows that wait for a running import, by its job; undefined: it is none on first use. */
  waitingForJob(id: string): readonly string[] | undefined;
  /** Ends one of them: its workflows go on as when an import that runs is cancelled. Undefined: no such one waits. */
  cancelWaiting(id: string): ImageJob | undefined;
  /** Digests that unfinished workflows were promised. */
  digestsInUse(): ReadonlySet<string>;
  /** Names of the workflows that were promised a digest; those that have ended may be among them for a moment. */
  promisedTo(digest: string): ReadonlySet<string>;
}

const SERVER: Cause = { actor: 'server' };
const BEGINNING: readonly EventName[] = ['workflow.created', 'workflow.retried'];
const ENDING: readonly EventName[] = [
  'workflow.succeeded',
  'workflow.failed',
  'workflow.timedOut',
  'workflow.cancelled',
  'workflow.deleted',
];

/**
 * Starts at once. It remembers outcomes in memory only: after a restart it looks at every unfinished workflow again, and an import
 * that the restart ended begins anew.
 */
export function imagesOnFirstUse(options: FirstUseOptions): ImagesOnFirstUse {
  return new FirstUse(options);
}

class FirstUse implements ImagesOnFirstUse {
  readonly #options: FirstUseOptions;
  readonly #imports: ImageImports;
  readonly #runs = new Map<string, WorkflowRun>();
  readonly #settler: ImageSettler;
  readonly #waits: ImportWaits;
  readonly #stopping = new AbortController();
  readonly #working = new Set<Promise<void>>();

  constructor(options: FirstUseOptions) {
    this.#options = options;
    this.#imports = new ImageImports({ ...options, isWanted: (key) => waitingFor(key, this.#runs).length > 0 });
    const { signal } = this.#stopping;
    this.#settler = new ImageSettler({ ...options, imports: this.#imports, signal });
    this.#waits = new ImportWaits({ ...options, imports: this.#imports, runs: this.#runs });
    this.#own(this.#follow());
    this.#own(this.#waits.showProgress(signal));
  }

  forTask(workflow: Workflow): TaskImages {
    const run = this.#runOf(workflow);
    const refused = run.refused.find(({ task }) => task === workflow.task);
    if (refused !== undefined) return { kind: 'failed', fault: refused.error };
    const images = run.images.filter(({ wanted }) => wanted.task === workflow.task);
    const failed = images.find(({ outcome }) => outcome?.kind === 'failed')?.outcome;
    if (failed?.kind === 'failed') return failed;
    for (const image of images) image.isHeld = image.outcome === undefined;
    if (images.some(({ isHeld }) => isHeld)) return { kind: 'waiting' };
    const digests = images.flatMap(({ wanted, outcome }) =>
      outcome?.kind === 'library' ? [[wanted.action, outcome.digest] as const] : [],
    );
    return { kind: 'ready', digests: new Map(digests) };
  }

  waitsOf(workflow: Workflow): readonly ImageWait[] {
    return this.#waits.of(workflow);
  }

  waitingImports(): readonly WaitingImport[] {
    return this.#waits.inLine();
  }

  waitingForJob(id: string): readonly string[] | undefined {
    return this.#waits.forJob(id);
  }

  cancelWaiting(id: string): ImageJob | undefined {
    return this.#imports.cancelWaiting(id);
  }

  refusalsOf(workflow: Pick<Workflow, 'rendered'>): readonly TinsmithError[] {
    return this.#refusedIn(workflow).map(({ error }) => error);
  }

  #refusedIn(workflow: Pick<Workflow, 'rendered'>): readonly OutsideFetch[] {
    const { mode, isOwn } = this.#options;
    return mode === 'only' ? outsideFetches(workflow, isOwn) : [];
  }

  digestsInUse(): ReadonlySet<string> {
    const images = [...this.#runs.values()].flatMap((run) => run.images);
    return new Set(images.flatMap(({ outcome }) => (outcome?.kind === 'library' ? [outcome.digest] : [])));
  }

  promisedTo(digest: string): ReadonlySet<string> {
    const promised = [...this.#runs].filter(([, { images }]) =>
      images.some(({ outcome }) => outcome?.kind === 'library' && outcome.digest === digest),
    );
    return new Set(promised.map(([name]) => name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const reason = new TinsmithError('unavailable', 'the server is stopping');
    this.#stopping.abort(reason);
    this.#imports.stop();
    await Promise.all(this.#working);
  }

  /** Work that never rejects. */
  #own(work: Promise<void>): void {
    const done = work.finally(() => this.#working.delete(done));
    this.#working.add(done);
  }

  /** Workflows begin to be looked at when they are made: the machine's boot takes as long as many an import. */
  async #follow(): Promise<void> {
    const { store, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      try {
        const events = store.followEvents({ names: [...BEGINNING, ...ENDING] }, signal);
        // One that runs has its image; an attempt after it asks for itself.
        for (const workflow of await store.listWorkflows({ states: ['pending', 'waiting'] })) this.#look(workflow);
        for await (const { workflow: name } of events) {
          const workflow = name === undefined ? undefined : await store.workflow(name);
          if (workflow !== undefined && !workflowLife.isFinal(workflow.state)) this.#look(workflow);
          else if (name !== undefined && this.#runs.delete(name)) this.#imports.reconsider();
        }
      } catch (err) {
        if (signal.aborted) return;
        log.error({ err }, 'library.firstUseFailed');
        await delay(1_000, undefined, { signal }).catch(() => undefined); // the loop ends by itself
      }
    }
  }

  #look(workflow: Workflow): void {
    if (workflow.spec.disabled !== true) this.#runOf(workflow);
  }

  #runOf(workflow: Workflow): WorkflowRun {
    const id = runId(workflow);
    const known = this.#runs.get(workflow.name);
    if (known?.id === id) return known;
    const wanted = wantedImages(workflow, this.#options.isOwn);
    const images = wanted.map((each) => ({ wanted: each, outcome: undefined, isImported: false, isHeld: false }));
    const run: WorkflowRun = { id, images, refused: this.#refusedIn(workflow) };
    this.#runs.set(workflow.name, run);
    const [refused] = run.refused;
    if (refused !== undefined) {
      this.#own(this.#failEarly(workflow, refused.error));
      return run;
    }
    for (const image of run.images) this.#own(this.#settle(workflow, run, image));
    return run;
  }

  async #failEarly(workflow: Workflow, fault: ImageFault): Promise<void> {
    try {
      await this.#failPending(workflow, fault);
    } catch (err) {
      this.#options.log.error({ err, workflow: workflow.name }, 'library.firstUseFailed');
    }
  }

  /** Before its machine boots. False: it runs, and fails when it comes to this task. */
  async #failPending(workflow: Workflow, { code, message }: ImageFault): Promise<boolean> {
    const { store, transitions } = this.#options;
    const now = await store.workflow(workflow.name);
    if (now?.state !== 'pending' || runId(now) !== runId(workflow)) return false;
    await transitions.failWorkflow(now.name, { code, message }, SERVER);
    return true;
  }

  async #settle(workflow: Workflow, run: WorkflowRun, image: RunImage): Promise<void> {
    const { log, mode } = this.#options;
    const { signal } = this.#stopping;
    try {
      image.outcome = await this.#settler.settle(image.wanted, async () => {
        if (!image.isImported) await this.#note('workflow.waitsForImage', workflow, image.wanted);
        image.isImported = true;
      });
    } catch (err) {
      // Nothing is decided: the next start of the server looks again.
      if (signal.aborted) return;
      log.error({ err, workflow: workflow.name, image: image.wanted.shown }, 'library.firstUseFailed');
      const fault = TinsmithError.from(err);
      image.outcome = mode === 'on' ? { kind: 'machine', note: fault.message } : { kind: 'failed', fault };
    }
    if (this.#runs.get(workflow.name) !== run) return; // it has ended
    await this.#tell(workflow, image, image.outcome).catch((err: unknown) => {
      log.error({ err, workflow: workflow.name }, 'library.firstUseFailed');
    });
  }

  async #tell(workflow: Workflow, { wanted }: RunImage, outcome: ImageOutcome): Promise<void> {
    if (outcome.kind === 'failed' && (await this.#failPending(workflow, outcome.fault))) return;
    const note = outcome.kind === 'failed' ? outcome.fault.message : outcome.note;
    if (note !== undefined) {
      const about = { workflow: workflow.name, image: wanted.shown, from: outcome.kind, note };
      this.#options.log.warn(about, 'library.firstUse');
    }
    const digest = outcome.kind === 'library' ? { digest: outcome.digest } : {};
    await this.#note('workflow.imageReady', workflow, wanted, {
      from: outcome.kind,
      ...digest,
      ...(note !== undefined && { reason: note }),
    });
  }

  async #note(
    name: 'workflow.waitsForImage' | 'workflow.imageReady',
    workflow: Workflow,
    { actionName, file, shown, task }: WantedImage,
    more: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const data = { action: actionName, image: file, source: shown, ...more };
    await this.#options.transitions.noteWorkflowImage(name, { ...machineOf(workflow, task), data }, SERVER);
  }
}
