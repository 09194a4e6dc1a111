import { type ErrorCode, TinsmithError } from '#proto/errors.ts';

/** What is wrong with an image, as its reader says it. What is wrong with the way to it names the place already. */
const OF_CONTENT: ReadonlySet<ErrorCode> = new Set(['checksum_mismatch', 'corrupt_image', 'unsupported']);

/** An error of an import, with where the image came from. `shown`: without secrets. */
export function atSource(thrown: unknown, shown: string): unknown {
  if (!(thrown instanceof TinsmithError) || !OF_CONTENT.has(thrown.code) || thrown.message.includes(shown))
    return thrown;
  return new TinsmithError(thrown.code, `cannot import ${shown}: ${thrown.message}`, { cause: thrown });
}
