import type { ProxyParams } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import { FinalDownloadError } from '#transfer/download-errors.ts';
import { isFinalStatus, validatorOf } from '#transfer/file-request.ts';
import { httpGet } from '#transfer/http-request.ts';
import type { HttpResponse } from '#transfer/http-response.ts';
import { statusFact } from '#transfer/refused-status.ts';
import type { UpstreamAnswer } from './decide-image.ts';

/** What is known of a file that was downloaded earlier. */
export interface FormerFile {
  /** A strong ETag, or a date. */
  readonly validator?: string;
  readonly sourceBytes?: number;
}

/** A machine waits meanwhile. */
const ANSWER_MS = 10_000;

/**
 * Asks whether a URL still has the file of an earlier download: one GET with its validator, whose body nobody reads. HEAD would be
 * refused by presigned URLs, which are signed for GET. Throws the signal's reason only.
 */
export async function askUpstream(
  url: URL,
  former: FormerFile,
  { proxy, signal }: { readonly proxy: ProxyParams; readonly signal: AbortSignal },
): Promise<UpstreamAnswer> {
  const headers = { 'accept-encoding': 'identity', 'user-agent': 'tinsmith', ...condition(former.validator) };
  try {
    const response = await httpGet(url, { headers, proxy, signal, answerMs: ANSWER_MS });
    response.destroy();
    return answerOf(url, response, former);
  } catch (thrown) {
    signal.throwIfAborted();
    if (thrown instanceof FinalDownloadError) return { kind: 'refused', reason: thrown.error.message };
    const fact = TinsmithError.from(thrown).message;
    return { kind: 'away', reason: `cannot ask ${shownUrl(url)} whether it has changed: ${fact}` };
  }
}

/** RFC 9110 13.1.2 and 13.1.3. */
function condition(validator: string | undefined): Readonly<Record<string, string>> {
  if (validator === undefined) return {};
  return validator.startsWith('"') ? { 'if-none-match': validator } : { 'if-modified-since': validator };
}

function answerOf(url: URL, response: HttpResponse, { validator, sourceBytes }: FormerFile): UpstreamAnswer {
  const { status } = response;
  if (status === 304 && validator !== undefined) return { kind: 'same' };
  if (status === 200) {
    const length = response.contentLength();
    const isSameLength = length === undefined || sourceBytes === undefined || length === sourceBytes;
    const isSame = validator !== undefined && validatorOf(response) === validator && isSameLength;
    return { kind: isSame ? 'same' : 'changed' };
  }
  const reason = `cannot ask ${shownUrl(url)} whether it has changed: ${statusFact(url, response)}`;
  return { kind: isFinalStatus(status) ? 'refused' : 'away', reason };
}
