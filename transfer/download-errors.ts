import { TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';

/** Carries an error past those who would try again. Unwrapped before it leaves the download. */
class CarriedError extends Error {
  readonly error: TinsmithError;

  constructor(error: TinsmithError) {
    super(error.message);
    this.error = error;
  }
}

/** No further request can change it: a 404, a changed file. */
export class FinalDownloadError extends CarriedError {}

/** The rest cannot be asked for safely: only the whole download can start again. */
export class RestartDownloadError extends CarriedError {}

/** What is told to people: which URL, without its secrets, and why. */
export function cannotFetch(url: URL, fact: string, cause?: unknown): TinsmithError {
  return new TinsmithError('download_failed', `cannot fetch ${shownUrl(url)}: ${fact}`, { cause });
}

/** As `cannotFetch`, for what no further request can change. */
export function finalFailure(url: URL, fact: string): FinalDownloadError {
  return new FinalDownloadError(cannotFetch(url, fact));
}

/** For what may go away by itself: the request is made again. */
export function passingFailure(fact: string): TinsmithError {
  return new TinsmithError('unavailable', fact);
}
