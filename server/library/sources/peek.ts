/** What can be told from the first bytes of any format: this many hold all marks and headers. */
const START_BYTES = 64 << 10;

/** A stream whose start was looked at. */
export interface Peeked {
  /** 64 KiB, or all of a shorter stream. A copy. */
  readonly start: Buffer;
  /** The whole stream, with its start. */
  readonly all: AsyncIterable<Uint8Array>;
  /** For whoever does not read `all`. */
  close(): Promise<void>;
}

/** Looks at the start of a stream. */
export async function peek(stream: AsyncIterable<Uint8Array>): Promise<Peeked> {
  const iterator = stream[Symbol.asyncIterator]();
  const first: Buffer[] = [];
  let bytes = 0;
  while (bytes < START_BYTES) {
    const result = await iterator.next();
    if (result.done === true) break;
    // Copied: it is valid until the next one only.
    first.push(Buffer.from(result.value));
    bytes += result.value.length;
  }
  const head = Buffer.concat(first);
  return {
    start: head.subarray(0, START_BYTES),
    all: replay(head, iterator),
    close: async () => void (await iterator.return?.()),
  };
}

async function* replay(head: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    for (let result = await rest.next(); result.done !== true; result = await rest.next()) yield result.value;
  } finally {
    await rest.return?.();
  }
}
