import { parseMissingImage } from '#proto/missing-image.ts';
import { BodyWatch } from '#transfer/body-watch.ts';
import type { HttpResponse } from '#transfer/http-response.ts';

const CONTENT_TYPE = 'text/plain; charset=utf-8';
const LONGEST_ANSWER = 4096;

/**
 * What a 404 for an image's index says of the image, in our own words; undefined: it does not come from a server of ours, or not
 * whole within `withinMs`. The response is read or destroyed.
 */
export async function missingImageAnswer(
  response: HttpResponse,
  image: string,
  { signal, withinMs }: { readonly signal: AbortSignal; readonly withinMs: number },
): Promise<string | undefined> {
  if (response.headers.get('content-type') !== CONTENT_TYPE) return undefined;
  const body = await shortBody(response, AbortSignal.any([signal, AbortSignal.timeout(withinMs)]), withinMs);
  const missing = parseMissingImage(body, { image, file: 'index.json' });
  if (missing === undefined) return undefined;
  const { nearest } = missing;
  return `the library has no image ${image}${nearest === undefined ? '' : ` (did you mean ${nearest}?)`}`;
}

/** Empty: it is longer, or did not come. */
async function shortBody(response: HttpResponse, signal: AbortSignal, stallMs: number): Promise<string> {
  using watch = new BodyWatch(response, { signal, stallMs });
  const pieces: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const piece of response) {
      watch.came();
      bytes += piece.length;
      if (bytes > LONGEST_ANSWER) return '';
      pieces.push(Buffer.from(piece));
      watch.wait();
    }
  } catch {
    // That there is no such image is known without it.
    return '';
  }
  return Buffer.concat(pieces).toString('utf8');
}
