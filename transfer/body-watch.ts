import { TinsmithError } from '#proto/errors.ts';
import type { HttpResponse } from './http-response.ts';

/** Watches over a body that is read: its connection is ended when no byte comes for `stallMs`, and by `signal`. */
export class BodyWatch implements Disposable {
  readonly #signal: AbortSignal;
  readonly #stallMs: number;
  readonly #onAbort: () => void;
  readonly #onStall: () => void;
  #timer: NodeJS.Timeout;

  /** From here on the first piece is waited for. */
  constructor(response: HttpResponse, { signal, stallMs }: { readonly signal: AbortSignal; readonly stallMs: number }) {
    this.#signal = signal;
    this.#stallMs = stallMs;
    this.#onAbort = () => response.destroy(toError(signal.reason));
    this.#onStall = () => response.destroy(new TinsmithError('timed_out', `no byte came for ${stallMs / 1000} s`));
    this.#timer = setTimeout(this.#onStall, stallMs);
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) this.#onAbort();
  }

  /** A piece has come. What its reader does with it, such as writing it to a slow disk, is not the network's time. */
  came(): void {
    clearTimeout(this.#timer);
  }

  /** The next piece is waited for. */
  wait(): void {
    this.#timer = setTimeout(this.#onStall, this.#stallMs);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#onAbort);
  }
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new TinsmithError('cancelled', String(reason));
}
