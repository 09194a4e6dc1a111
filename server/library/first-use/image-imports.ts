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

/** At once, that somebody waits for: each compresses on all cores and holds some frames in memory. */
const MOST = 4;
/** With those that nobody waits for any more. */
const MOST_OF_ALL = 2 * MOST;

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
  readonly key: string;
  state: 'waiting' | 'come' | 'cancelled';
  /** Resolves when the waiting has ended, in whatever way. */
  readonly over: PromiseWithResolvers<void>;
}

interface ImageImportsOptions {
  readonly jobs: ImageJobs;
  /** For actions that name none. */
  readonly proxy?: string;
  readonly clock: () => Date;
  /** Whether anybody waits for the import of a URL; see `reconsider`. */
  readonly isWanted: (key: string) => boolean;
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
  readonly #isWanted: (key: string) => boolean;
  readonly #running = new Map<string, RunningImport>();
  readonly #inLine = new Set<Turn>();
  readonly #busy = new Set<Turn>();
  #isStopped = false;

  constructor({ jobs, proxy, clock, isWanted }: ImageImportsOptions) {
    this.#jobs = jobs;
    this.#proxy = proxy;
    this.#clock = clock;
    this.#isWanted = isWanted;
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
    return this.#line().flatMap(({ key }, before) => {
      const waiting = this.#running.get(key);
      if (waiting === undefined) return [];
      const { id, shown, since } = waiting;
      const line = before === 0 ? 'it is next' : `${before} more wait before it`;
      return [{ key, id, name: firstUseName(key), source: shown, since, before, reason: `${this.#why(key)}; ${line}` }];
    });
  }

  /** URL of a running import, by the id of its job. */
  keyOf(id: string): string | undefined {
    return this.#running.entries().find(([, running]) => running.id === id)?.[0];
  }

  /** Who is wanted may have changed. */
  reconsider(): void {
    if (this.#isStopped) return;
    for (const turn of this.#line()) {
      if (!this.#mayCome(turn.key)) continue;
      this.#inLine.delete(turn);
      this.#busy.add(turn);
      turn.state = 'come';
      turn.over.resolve();
    }
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
    this.#inLine.delete(turn);
    turn.over.resolve();
    return this.#jobs.addCancelled({ id, name: firstUseName(key), forUrl: shown });
  }

  /** Nothing new begins; who waits for a turn gets none. */
  stop(): void {
    this.#isStopped = true;
    for (const { over } of this.#inLine) over.resolve();
  }

  #start({ key, shown }: WantedImage, order: ImageOrder): RunningImport {
    const id = randomUUID();
    const turn: Turn = { key, state: 'waiting', over: Promise.withResolvers() };
    const ended = this.#work(id, turn, order).finally(() => this.#running.delete(key));
    const running = { id, order: orderKey(order), shown, since: this.#clock(), turn, ended };
    this.#running.set(key, running);
    return running;
  }

  async #work(id: string, turn: Turn, order: ImageOrder): Promise<ImageJob> {
    this.#requireRunning(); // else nobody would call it out of the line any more
    this.#inLine.add(turn);
    this.reconsider();
    await turn.over.promise;
    this.#requireRunning();
    if (turn.state === 'cancelled') return this.#jobs.ended(id);
    try {
      return await this.#jobs.ended(this.#jobs.add(order, id).id);
    } finally {
      this.#busy.delete(turn);
      this.reconsider();
    }
  }

  #requireRunning(): void {
    if (this.#isStopped) throw new TinsmithError('unavailable', 'the server is stopping');
  }

  /** First those that somebody waits for. */
  #line(): readonly Turn[] {
    const line = [...this.#inLine];
    const isWanted = ({ key }: Turn): boolean => this.#isWanted(key);
    return [...line.filter(isWanted), ...line.filter((turn) => !isWanted(turn))];
  }

  /** Those that nobody waits for keep no one waiting, but for that there are not too many. */
  #mayCome(key: string): boolean {
    if (!this.#isWanted(key)) return this.#busy.size < MOST;
    return this.#wantedBusy() < MOST && this.#busy.size < MOST_OF_ALL;
  }

  #wantedBusy(): number {
    return [...this.#busy].filter((turn) => this.#isWanted(turn.key)).length;
  }

  #why(key: string): string {
    if (!this.#isWanted(key)) return 'no workflow waits for it any more, so others go first';
    if (this.#wantedBusy() >= MOST) return `${MOST} imports for workflows run, as many as do at once`;
    const unwanted = this.#busy.size - this.#wantedBusy();
    return `${this.#busy.size} imports run, as many as do at once, ${unwanted} of them for no workflow any more (tinsmith image cancel ends one)`;
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
