import type { EventName, TinsmithEvent } from '../life/events.ts';
import { workflowLife } from '../life/workflow-life.ts';
import type { Store } from '../store/store.ts';

const CHANGING: readonly EventName[] = [
  'workflow.created',
  'workflow.imageReady',
  'workflow.advanced',
  'workflow.lost',
  'workflow.succeeded',
  'workflow.failed',
  'workflow.timedOut',
  'workflow.cancelled',
  'workflow.retried',
  'workflow.deleted',
];

const UNFINISHED = workflowLife.states.filter((state) => !workflowLife.isFinal(state));

/**
 * Names of machines whose commands may have changed: because of the event log (operators change workflows without asking the
 * engine), or because the engine said so. A machine that is named several times before it is taken is yielded once, so a
 * slow reader costs one name for each machine.
 */
export class MachineChanges {
  readonly #store: Store;
  readonly #readers = new Set<Reader>();

  constructor(store: Store) {
    this.#store = store;
  }

  notify(hardware: string): void {
    for (const reader of this.#readers) reader.add(hardware);
  }

  /** Begins at once, not with the first read. */
  read(signal: AbortSignal): AsyncIterable<string> {
    const ended = new AbortController();
    const both = AbortSignal.any([signal, ended.signal]);
    const reader = new Reader(both);
    if (!signal.aborted) this.#readers.add(reader);
    const events = this.#store.followEvents({ names: CHANGING }, both);
    const following = this.#follow(events, reader);
    return this.#names(reader, ended, following);
  }

  async *#names(reader: Reader, ended: AbortController, following: Promise<void>): AsyncGenerator<string> {
    try {
      for await (const hardware of reader.names()) yield hardware;
    } finally {
      this.#readers.delete(reader);
      ended.abort();
      await following;
    }
  }

  async #follow(events: AsyncIterable<TinsmithEvent>, reader: Reader): Promise<void> {
    try {
      for await (const event of events) for (const name of await this.#machinesOf(event)) reader.add(name);
    } catch (thrown) {
      reader.fail(thrown);
    }
  }

  /** Its own machines, and those whose next task may have waited for one of them. */
  async #machinesOf({ workflow: name, data }: TinsmithEvent): Promise<ReadonlySet<string>> {
    const workflow = name === undefined ? undefined : await this.#store.workflow(name);
    const deleted = Array.isArray(data['hardware']) ? data['hardware'].filter((each) => typeof each === 'string') : [];
    const own = workflow?.hardware ?? deleted;
    const machines = new Set(own);
    for (const hardware of own) {
      for (const waiting of await this.#store.listWorkflows({ hardware, states: UNFINISHED })) {
        const next = waiting.hardware[waiting.task];
        if (next !== undefined) machines.add(next);
      }
    }
    return machines;
  }
}

/** Names that wait for one reader. */
class Reader {
  readonly #signal: AbortSignal;
  readonly #waiting = new Set<string>();
  #failure: { readonly thrown: unknown } | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake.resolve(), { once: true });
  }

  add(name: string): void {
    this.#waiting.add(name);
    this.#wake.resolve();
  }

  fail(thrown: unknown): void {
    this.#failure = { thrown };
    this.#wake.resolve();
  }

  async *names(): AsyncGenerator<string> {
    while (!this.#signal.aborted) {
      if (this.#failure !== undefined) throw this.#failure.thrown;
      this.#wake = Promise.withResolvers<void>();
      const names = [...this.#waiting];
      this.#waiting.clear();
      for (const name of names) {
        yield name;
        if (this.#signal.aborted) return;
      }
      if (names.length === 0) await this.#wake.promise;
    }
  }
}
