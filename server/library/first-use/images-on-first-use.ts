import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import type { EventName } from '../../life/events.ts';
import { workflowLife } from '../../life/workflow-life.ts';
import type { Cause, Store, Workflow } from '../../store/store.ts';
import type { Transitions } from '../../store/transitions-contract.ts';
import type { ImageJobs } from '../image-jobs.ts';
import type { ImageLibrary, LibraryImage } from '../image-library.ts';
import { askUpstream } from './ask-upstream.ts';
import {
  chooseImage,
  decideImage,
  type FirstUseMode,
  type ImageFacts,
  type ImageFault,
  type ImageOutcome,
  type UpstreamAnswer,
} from './decide-image.ts';
import { ImageImports, proxyOf, type WaitingImport } from './image-imports.ts';
import { type OutsideFetch, outsideFetches } from './outside-fetch.ts';
import { type WantedImage, wantedImages } from './wanted-image.ts';

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
  /** Digests that unfinished workflows were promised. */
  digestsInUse(): ReadonlySet<string>;
  /** Names of the workflows that were promised a digest; those that have ended may be among them for a moment. */
  promisedTo(digest: string): ReadonlySet<string>;
}

const SERVER: Cause = { actor: 'server' };
const SHOW_EVERY_MS = 2_000;
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

/** One run of a workflow: a retry is another one, an attempt that follows a lost one is not. */
interface Run {
  readonly id: string;
  /** What its machines may not fetch. */
  readonly refused: readonly OutsideFetch[];
  readonly images: readonly RunImage[];
}

interface RunImage {
  readonly wanted: WantedImage;
  outcome: ImageOutcome | undefined;
  isImported: boolean;
  /** Its machine asked for the task. */
  isHeld: boolean;
}

/** What was found out for one image of one run. */
interface Learned {
  /** Digest of an image that was imported for somebody else meanwhile. */
  readonly added?: string;
  /** Digest of the image that was imported just as this action wants it. */
  readonly made?: string;
  readonly failure?: ImageFault;
  readonly answer?: { readonly of: string; readonly upstream: UpstreamAnswer };
}

class FirstUse implements ImagesOnFirstUse {
  readonly #options: FirstUseOptions;
  readonly #imports: ImageImports;
  readonly #runs = new Map<string, Run>();
  readonly #asking = new Map<string, Promise<UpstreamAnswer>>();
  readonly #stopping = new AbortController();
  /** Rejects when it stops. */
  readonly #stopped = Promise.withResolvers<never>();
  readonly #working = new Set<Promise<void>>();

  constructor(options: FirstUseOptions) {
    this.#options = options;
    this.#imports = new ImageImports(options);
    this.#stopped.promise.catch(() => undefined); // it may be that nobody waits
    this.#own(this.#follow());
    this.#own(this.#showProgress());
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
    const run = this.#runs.get(workflow.name);
    if (run?.id !== runId(workflow) || workflow.accepted !== undefined) return [];
    return run.images.flatMap((image) =>
      image.isImported && image.outcome === undefined && image.wanted.task === workflow.task
        ? [this.#waitOf(image.wanted)]
        : [],
    );
  }

  refusalsOf(workflow: Pick<Workflow, 'rendered'>): readonly TinsmithError[] {
    return this.#refusedIn(workflow).map(({ error }) => error);
  }

  #refusedIn(workflow: Pick<Workflow, 'rendered'>): readonly OutsideFetch[] {
    const { mode, isOwn } = this.#options;
    return mode === 'only' ? outsideFetches(workflow, isOwn) : [];
  }

  waitingImports(): readonly WaitingImport[] {
    return this.#imports.waiting().map(({ key, ...waiting }) => {
      const waits = ({ wanted, outcome }: RunImage): boolean => wanted.key === key && outcome === undefined;
      const workflows = [...this.#runs].filter(([, { images }]) => images.some(waits)).map(([name]) => name);
      return { ...waiting, workflows };
    });
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
    this.#stopped.reject(reason);
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
          else if (name !== undefined) this.#runs.delete(name);
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

  #runOf(workflow: Workflow): Run {
    const id = runId(workflow);
    const known = this.#runs.get(workflow.name);
    if (known?.id === id) return known;
    const wanted = wantedImages(workflow, this.#options.isOwn);
    const images = wanted.map((each) => ({ wanted: each, outcome: undefined, isImported: false, isHeld: false }));
    const run: Run = { id, images, refused: this.#refusedIn(workflow) };
    this.#runs.set(workflow.name, run);
    const [refused] = run.refused;
    if (refused !== undefined) {
      this.#own(this.#failEarly(workflow, refused.error));
      return run;
    }
    for (const image of run.images) this.#own(this.#settle(workflow, run, image));
    return run;
  }

  /** Before its machine boots; one that runs fails when it comes to this task. */
  async #failEarly(workflow: Workflow, fault: ImageFault): Promise<void> {
    const { log, store, transitions } = this.#options;
    try {
      const now = await store.workflow(workflow.name);
      if (now?.state !== 'pending' || runId(now) !== runId(workflow)) return;
      const { code, message } = fault;
      await transitions.failWorkflow(now.name, { code, message }, SERVER);
    } catch (err) {
      log.error({ err, workflow: workflow.name }, 'library.firstUseFailed');
    }
  }

  async #settle(workflow: Workflow, run: Run, image: RunImage): Promise<void> {
    const { log, mode } = this.#options;
    const { signal } = this.#stopping;
    try {
      image.outcome = await this.#outcomeOf(workflow, image);
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

  async #outcomeOf(workflow: Workflow, image: RunImage): Promise<ImageOutcome> {
    const { wanted } = image;
    let learned: Learned = {};
    for (;;) {
      this.#stopping.signal.throwIfAborted();
      const images = await this.#options.library.list();
      const found = chooseImage(
        images.filter(({ forUrl }) => forUrl?.key === wanted.key),
        wanted,
      );
      const step = decideImage(this.#factsOf(wanted, found, learned));
      if (step.kind === 'ask') {
        learned = { ...learned, answer: { of: versionOf(found), upstream: await this.#ask(wanted, found) } };
      } else if (step.kind === 'import') {
        if (!image.isImported) await this.#note('workflow.waitsForImage', workflow, wanted);
        image.isImported = true;
        learned = { ...learned, ...(await this.#import(wanted)) };
        if (learned.made !== undefined) return { kind: 'library', digest: learned.made };
      } else {
        return step;
      }
    }
  }

  #factsOf(wanted: WantedImage, image: LibraryImage | undefined, { added, failure, answer }: Learned): ImageFacts {
    return {
      mode: this.#options.mode,
      wanted,
      isNew: image !== undefined && image.digest === added,
      ...(image !== undefined && { image }),
      ...(failure !== undefined && { failure }),
      // An answer about another image than the one that is there now says nothing.
      ...(answer?.of === versionOf(image) && { upstream: answer.upstream }),
    };
  }

  async #import(wanted: WantedImage): Promise<Learned> {
    // A server that stops waits for nothing; its jobs end after this, which is no failure of theirs.
    const { job, isSame } = await Promise.race([this.#imports.import(wanted), this.#stopped.promise]);
    this.#stopping.signal.throwIfAborted();
    const digest = job.image?.digest;
    // Another order's failure may lie in its own sums or proxy.
    if (!isSame) return digest === undefined ? {} : { added: digest };
    if (digest !== undefined) return { made: digest };
    return { failure: job.error ?? { code: 'internal', message: `its import is ${job.state}` } };
  }

  /** Once for all who want to know at the same time. */
  async #ask(wanted: WantedImage, image: LibraryImage | undefined): Promise<UpstreamAnswer> {
    const key = `${wanted.url.href} ${versionOf(image)}`;
    const { signal } = this.#stopping;
    const proxy = proxyOf(wanted, this.#options.proxy)?.href;
    const asking =
      this.#asking.get(key) ??
      askUpstream(wanted.url, image ?? {}, {
        proxy: proxy === undefined ? {} : { http: proxy, https: proxy },
        signal,
      }).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return asking;
  }

  async #tell(workflow: Workflow, { wanted }: RunImage, outcome: ImageOutcome): Promise<void> {
    const { log, store, transitions } = this.#options;
    if (outcome.kind === 'failed') {
      const now = await store.workflow(workflow.name);
      // One that runs fails when it comes to this task.
      if (now?.state === 'pending' && runId(now) === runId(workflow)) {
        return transitions.failWorkflow(now.name, outcome.fault, SERVER);
      }
    }
    const note = outcome.kind === 'failed' ? outcome.fault.message : outcome.note;
    const { name } = workflow;
    if (note !== undefined)
      log.warn({ workflow: name, image: wanted.shown, from: outcome.kind, note }, 'library.firstUse');
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

  /** For those who watch; nothing of it is stored. */
  async #showProgress(): Promise<void> {
    const { store, transitions, log } = this.#options;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await delay(SHOW_EVERY_MS, undefined, { signal }).catch(() => undefined); // the loop ends by itself
      for (const [name, { images }] of this.#runs) {
        const image = images.find(
          ({ wanted, isHeld, isImported, outcome }) =>
            isImported && outcome === undefined && (isHeld || wanted.task === 0),
        );
        if (image === undefined || signal.aborted) continue;
        try {
          const workflow = await store.workflow(name);
          if (workflow === undefined) continue;
          const data = { ...this.#waitOf(image.wanted), unit: 'bytes' };
          await transitions.showImageProgress({ ...machineOf(workflow, image.wanted.task), data }, SERVER);
        } catch (err) {
          log.debug({ err, workflow: name }, 'library.progressFailed');
        }
      }
    }
  }

  #waitOf({ key, file, shown }: WantedImage): ImageWait {
    const job = this.#imports.progress(key);
    const seconds = job === undefined ? 0 : (this.#options.clock().getTime() - job.startedAt.getTime()) / 1000;
    const done = job?.done ?? 0;
    const perSecond = seconds > 0 ? Math.round(done / seconds) : 0;
    const before = this.#imports.waiting().find((waiting) => waiting.key === key)?.before;
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

function runId({ queueOrder, attempt, attemptsOfRun }: Workflow): string {
  return `${queueOrder}/${attempt - attemptsOfRun}`;
}

/** Another import of the same URL may give the same image with another validator. */
function versionOf(image: LibraryImage | undefined): string {
  return image === undefined ? '' : `${image.digest} ${image.addedAt.getTime()}`;
}

function machineOf(
  { name, hardware }: Workflow,
  task: number,
): { readonly workflow: string; readonly hardware?: string } {
  const machine = hardware[task];
  return { workflow: name, ...(machine !== undefined && { hardware: machine }) };
}
