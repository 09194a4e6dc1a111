import { randomUUID } from 'node:crypto';
import { oneProxy } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { proxyFor } from '#transfer/http-request.ts';
import { firstUseName } from '../for-url.ts';
import type { ImageJob, ImageJobs } from '../image-jobs.ts';
import { type ImageOrder, orderKey } from '../import-image.ts';
import type { WantedImage } from './wanted-image.ts';

/** A machine waits for it: level 9 takes three times as long and saves a twentieth. */
const LEVEL = 3;

/** At once: each compresses on all cores and holds some frames in memory. */
const MOST = 4;

/** An import that somebody waited for. */
export interface EndedImport {
  readonly job: ImageJob;
  /** Whether it was the import that was asked for, not one of the same URL with other sums or another proxy. */
  readonly isSame: boolean;
}

/** An import whose turn has not come. */
export interface ImportInLine {
  /** See `cancelWaiting`; that of its job once its turn has come. */
  readonly id: string;
  /** See `urlKey`. */
  readonly key: string;
  /** Of the image that it will make. */
  readonly name: string;
  /** URL without passwords and signatures. */
  readonly source: string;
  readonly since: Date;
  /** How many others wait that come first. */
  readonly before: number;
  readonly reason: string;
}

interface Turn {
  state: 'waiting' | 'come' | 'cancelled';
  /** Ends the waiting. */
  wake?: () => void;
}

interface RunningImport {
  /** Of its job, once its turn has come. */
  readonly id: string;
  /** See `orderKey`. */
  readonly order: string;
  /** Without passwords and signatures. */
  readonly shown: string;
  readonly since: Date;
  readonly turn: Turn;
  readonly ended: Promise<ImageJob>;
}

/** Imports of outside URLs: one at a time for each, whoever asks. */
export class ImageImports {
  readonly #jobs: ImageJobs;
  readonly #proxy: string | undefined;
  readonly #clock: () => Date;
  readonly #running = new Map<string, RunningImport>();
  readonly #inLine: Turn[] = [];
  #busy = 0;
  #isStopped = false;
  /** `proxy`: for actions that name none. */
  constructor({ jobs, proxy, clock }: { jobs: ImageJobs; proxy?: string; clock: () => Date }) {
    this.#jobs = jobs;
    this.#proxy = proxy;
    this.#clock = clock;
  }

  /** Imports, or waits for the import of this URL that is under way. It goes on when nobody waits any more. */
  async import(wanted: WantedImage): Promise<EndedImport> {
    const order = this.#orderOf(wanted);
    const running = this.#running.get(wanted.key) ?? this.#start(wanted, order);
    return { job: await running.ended, isSame: running.order === orderKey(order) };
  }

  /** How far the import of a URL is. */
  progress(key: string): ImageJob | undefined {
    const running = this.#running.get(key);
    return running === undefined ? undefined : this.#jobs.job(running.id);
  }

  /** Those whose turn has not come, in their order. */
  waiting(): readonly ImportInLine[] {
    return [...this.#running]
      .filter(([, { turn }]) => turn.state === 'waiting')
      .map(([key, { id, shown, since }], before) => {
        const line = before === 0 ? 'it is next' : `${before} more wait before it`;
        const reason = `${MOST} imports for workflows run, as many as do at once; ${line}`;
        return { key, id, name: firstUseName(key), source: shown, since, before, reason };
      });
  }

  /**
   * Ends an import whose turn has not come: for those that wait for it, it is one that was cancelled while it ran. Undefined: no such
   * one waits.
   */
  cancelWaiting(id: string): ImageJob | undefined {
    const [key, waiting] = this.#running.entries().find(([, running]) => running.id === id) ?? [];
    if (key === undefined || waiting?.turn.state !== 'waiting') return undefined;
    const { turn, shown } = waiting;
    turn.state = 'cancelled';
    // Its place in the line goes with it: a turn that came to it would be lost.
    const place = this.#inLine.indexOf(turn);
    if (place !== -1) this.#inLine.splice(place, 1);
    turn.wake?.();
    return this.#jobs.addCancelled({ id, name: firstUseName(key), forUrl: shown });
  }

  /** Nothing new begins; who waits for a turn gets none. */
  stop(): void {
    this.#isStopped = true;
    for (const { wake } of this.#inLine.splice(0)) wake?.();
  }

  #start({ key, shown }: WantedImage, order: ImageOrder): RunningImport {
    const id = randomUUID();
    const turn: Turn = { state: 'waiting' };
    const ended = this.#work(id, turn, order).finally(() => this.#running.delete(key));
    const running = { id, order: orderKey(order), shown, since: this.#clock(), turn, ended };
    this.#running.set(key, running);
    return running;
  }

  async #work(id: string, turn: Turn, order: ImageOrder): Promise<ImageJob> {
    while (this.#busy >= MOST && turn.state === 'waiting' && !this.#isStopped) await this.#waitInLine(turn);
    if (this.#isStopped) throw new TinsmithError('unavailable', 'the server is stopping');
    if (turn.state === 'cancelled') {
      // It may have been woken for a turn just before.
      if (this.#busy < MOST) this.#inLine.shift()?.wake?.();
      return this.#jobs.ended(id);
    }
    this.#busy += 1;
    try {
      turn.state = 'come';
      return await this.#jobs.ended(this.#jobs.add(order, id).id);
    } finally {
      this.#busy -= 1;
      this.#inLine.shift()?.wake?.();
    }
  }

  #waitInLine(turn: Turn): Promise<void> {
    return new Promise((resolve) => {
      turn.wake = resolve;
      this.#inLine.push(turn);
    });
  }

  #orderOf(wanted: WantedImage): ImageOrder {
    const { url, key, shown, sha256, rawSha256 } = wanted;
    return {
      name: firstUseName(key),
      source: url.href,
      level: LEVEL,
      forUrl: { key, shown, isPinned: false },
      actor: 'server',
      proxy: proxyOf(wanted, this.#proxy)?.href ?? '',
      ...(sha256 !== undefined && { sha256 }),
      ...(rawSha256 !== undefined && { imageSha256: rawSha256 }),
    };
  }
}

/** The action's own proxy, or the library's for an action that names none. Throws `invalid_input`. */
export function proxyOf(
  { url, proxy }: Pick<WantedImage, 'url' | 'proxy'>,
  otherwise: string | undefined,
): URL | undefined {
  const isUnnamed = proxy.http === undefined && proxy.https === undefined;
  try {
    return proxyFor(url, isUnnamed ? { ...oneProxy(otherwise), ...proxy } : proxy);
  } catch (cause) {
    throw new TinsmithError('invalid_input', 'the setting library.proxy is no URL: use http://host:port', { cause });
  }
}
