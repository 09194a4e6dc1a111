import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { TinsmithError } from '#proto/errors.ts';
import type { AddOutcome } from './added-again.ts';
import type { ForUrl } from './for-url.ts';
import type { LibraryImage } from './image-library.ts';
import {
  type ImageOrder,
  type ImportOptions,
  importImage,
  type JobControl,
  orderKey,
  type ReplacedImage,
} from './import-image.ts';

/** Long work on the library, as its asker sees it. Jobs are not stored: one that a restart ended left nothing, and is asked for again. */
export interface ImageJob {
  readonly id: string;
  readonly kind: 'add' | 'verify';
  readonly name: string;
  readonly state: 'running' | 'succeeded' | 'failed' | 'cancelled';
  /** Bytes: of the image for `verify`, and for `add` where its length is known (disk images); else of the source. */
  readonly done: number;
  readonly total?: number;
  readonly startedAt: Date;
  readonly finishedAt?: Date;
  /** Of an import: the URL that the image is for, without passwords. */
  readonly forUrl?: string;
  /** Why it makes no headway now, and is tried again. */
  readonly trouble?: string;
  /** Of one that succeeded. */
  readonly image?: LibraryImage;
  /** Of an import that succeeded: what that was to its name. */
  readonly outcome?: AddOutcome;
  /** Of an import: the other image that its name stood for until then. */
  readonly replaced?: ReplacedImage;
  readonly error?: TinsmithError;
}

/** Disposing it ends what runs and waits for that. */
export interface ImageJobs extends AsyncDisposable {
  /**
   * Starts an import. The same order while it runs gives the job that runs; another one for its name, or under another name for a URL
   * that an operator says a running one is for, is a `conflict`. `id`: of the job that is started; default: its own.
   */
  add(order: ImageOrder, id?: string): ImageJob;
  /** Notes an import that was cancelled before it began: nothing of it was asked for, and it is told about as any other. */
  addCancelled(what: Pick<ImageJob, 'id' | 'name' | 'forUrl'>): ImageJob;
  /** Throws `not_found`. */
  verify(name: string): Promise<ImageJob>;
  job(id: string): ImageJob | undefined;
  /** Imports that run, oldest first. */
  imports(): readonly ImageJob[];
  /** An operator's imports that failed, oldest first: the last ones, each until its name is added again. */
  failures(): readonly ImageJob[];
  /** Resolves when it has ended, in whatever way. Throws `not_found`. */
  ended(id: string): Promise<ImageJob>;
  cancel(id: string): ImageJob | undefined;
}

export interface ImageJobsOptions extends ImportOptions {
  readonly clock: () => Date;
}

/** Ended jobs that are still told about. */
const KEPT = 100;
/** Failed imports among them that the list of images shows. */
const SHOWN_FAILURES = 20;

/** Nothing begins until it is asked for. */
export function imageJobs(options: ImageJobsOptions): ImageJobs {
  const { library, clock } = options;
  const jobs = new Map<string, RunningJob>();
  const orders = new Map<string, StartedOrder>();

  function start(what: Pick<ImageJob, 'id' | 'kind' | 'name' | 'forUrl'>, work: JobWork): RunningJob {
    const job = new RunningJob({ ...what, state: 'running', done: 0, startedAt: clock() });
    jobs.set(job.view.id, job);
    const [oldest] = [...jobs.values()].filter(({ view }) => view.state !== 'running');
    if (jobs.size > KEPT && oldest !== undefined) jobs.delete(oldest.view.id);
    job.run(work, clock);
    return job;
  }

  return {
    add(order, id = randomUUID()) {
      const key = orderKey(order);
      const running = runningOrder(order.name, key, orders);
      if (running !== undefined) return running.view;
      const pinned = order.forUrl?.isPinned === true ? order.forUrl : undefined;
      if (pinned !== undefined) requireUrlIdle(order.name, pinned, orders);
      const what = { kind: 'add', name: order.name, ...(order.forUrl && { forUrl: order.forUrl.shown }) } as const;
      const job = start({ id, ...what }, (control) => importImage(order, control, options));
      // At the end of the line: the oldest is forgotten first.
      orders.delete(order.name);
      orders.set(order.name, { key, job, pinnedFor: pinned?.key, actor: order.actor ?? 'operator' });
      return job.view;
    },
    addCancelled(what) {
      const job = start({ ...what, kind: 'add' }, untilStopped);
      job.stop(onRequest());
      return job.view;
    },
    async verify(name) {
      const { imageBytes } = await library.show(name);
      const job = start({ id: randomUUID(), kind: 'verify', name }, ({ signal, progress }) =>
        library.verify(name, { signal, progress: (done) => progress(done, imageBytes) }),
      );
      return job.view;
    },
    job: (id) => jobs.get(id)?.view,
    imports: () => [...jobs.values()].map(({ view }) => view).filter(isRunningImport),
    failures: () => lastFailures(orders),
    async ended(id) {
      const job = jobs.get(id);
      if (job === undefined) throw new TinsmithError('not_found', `there is no job ${id}`);
      await job.ended;
      return job.view;
    },
    cancel(id) {
      const job = jobs.get(id);
      job?.stop(onRequest());
      return job?.view;
    },
    async [Symbol.asyncDispose]() {
      const reason = new TinsmithError('unavailable', 'the server is stopping');
      for (const job of jobs.values()) job.stop(reason);
      await Promise.all([...jobs.values()].map(({ ended }) => ended));
    },
  };
}

function onRequest(): TinsmithError {
  return new TinsmithError('cancelled', 'it was cancelled on request');
}

/** Work that does nothing but end when it is stopped. */
async function untilStopped({ signal }: JobControl): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}

interface StartedOrder {
  /** See `orderKey`. */
  readonly key: string;
  readonly job: RunningJob;
  /** Key of the URL that an operator says it is for. */
  readonly pinnedFor: string | undefined;
  readonly actor: 'operator' | 'server';
}

/** The job of the same order, if it runs. Throws `conflict` where that of another order has the name. */
function runningOrder(name: string, key: string, orders: ReadonlyMap<string, StartedOrder>): RunningJob | undefined {
  const started = orders.get(name);
  if (started?.job.view.state !== 'running') return undefined;
  if (started.key === key) return started.job;
  const fact = `an import of another source under that name is under way`;
  const fix = `wait for it, or end it with tinsmith image cancel ${name}`;
  throw new TinsmithError('conflict', `cannot add the image ${name}: ${fact}: ${fix}`);
}

/** The last order of each name is what counts. */
function lastFailures(orders: ReadonlyMap<string, StartedOrder>): readonly ImageJob[] {
  const views = [...orders.values()].filter(({ actor }) => actor !== 'server').map(({ job }) => job.view);
  return views.filter(({ state }) => state === 'failed').slice(-SHOWN_FAILURES);
}

/** Of two imports for one URL, which one machines got would depend on which ended last. */
function requireUrlIdle(name: string, { key, shown }: ForUrl, orders: ReadonlyMap<string, StartedOrder>): void {
  const other = orders.values().find(({ job, pinnedFor }) => pinnedFor === key && job.view.state === 'running');
  if (other === undefined) return;
  const { name: running } = other.job.view;
  const fix = `wait for it, or end it with tinsmith image cancel ${running}`;
  const fact = `an import of the image ${running} for that URL is under way`;
  throw new TinsmithError('conflict', `cannot add the image ${name} for ${shown}: ${fact}: ${fix}`);
}

function isRunningImport({ kind, state }: ImageJob): boolean {
  return kind === 'add' && state === 'running';
}

type JobWork = (control: JobControl) => Promise<LibraryImage>;

class RunningJob {
  view: ImageJob;
  ended: Promise<void> = Promise.resolve();
  readonly #stop = new AbortController();

  constructor(view: ImageJob) {
    this.view = view;
  }

  stop(reason: TinsmithError): void {
    this.#stop.abort(reason);
  }

  run(work: JobWork, clock: () => Date): void {
    const { signal } = this.#stop;
    const progress: JobControl['progress'] = (done, total) => {
      const { trouble: _over, ...view } = this.view;
      this.view = { ...view, done, ...(total !== undefined && { total }) };
    };
    const trouble: JobControl['trouble'] = (text) => {
      this.view = { ...this.view, trouble: text };
    };
    const replaced: JobControl['replaced'] = (image) => {
      this.view = { ...this.view, replaced: image };
    };
    const outcome: JobControl['outcome'] = (changed) => {
      this.view = { ...this.view, outcome: changed };
    };
    this.ended = this.#follow(work({ signal, progress, trouble, replaced, outcome }), clock);
  }

  /** Never rejects: how the work ended is for whoever asks. */
  async #follow(work: Promise<LibraryImage>, clock: () => Date): Promise<void> {
    try {
      const image = await work;
      const { trouble: _over, ...view } = this.view;
      this.view = { ...view, state: 'succeeded', image, finishedAt: clock() };
    } catch (thrown) {
      const state = this.#stop.signal.aborted ? 'cancelled' : 'failed';
      const { trouble: _told, ...view } = this.view;
      this.view = { ...view, state, error: TinsmithError.from(thrown), finishedAt: clock() };
    }
  }
}
