import type { TinsmithError } from '#proto/errors.ts';

/** No further request can change it: a 404, a changed file. Unwrapped before it leaves the download. */
export class FinalDownloadError extends Error {
  readonly error: TinsmithError;

  constructor(error: TinsmithError) {
    super(error.message);
    this.error = error;
  }
}

/** The rest cannot be asked for safely: only the whole download can start again. */
export class RestartDownloadError extends Error {
  readonly error: TinsmithError;

  constructor(error: TinsmithError) {
    super(error.message);
    this.error = error;
  }
}
