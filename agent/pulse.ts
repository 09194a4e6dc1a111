/** Something that several may wait for to happen again and again. */
export class Pulse {
  #next = Promise.withResolvers<void>();

  /** Wakes everybody who waits now. */
  fire(): void {
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers();
    resolve();
  }

  /** Resolves at the next `fire`, or after `timeoutMs`. Rejects with the signal's reason when it is aborted. */
  async wait(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(signal.reason);
    const timer = timeoutMs === undefined ? undefined : setTimeout(resolve, timeoutMs);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await Promise.race([promise, this.#next.promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
    }
  }
}
