/**
 * The closed table of everything that can go wrong, for server, agent, API and CLI alike.
 * `http` is the status that the API answers, `exit` the exit code of the CLI, `retry` says whether the same request
 * may succeed later without anybody changing anything. ARCHITECTURE.md lists exactly these codes (tested).
 */
export const ERROR_CODES = {
  internal: { http: 500, exit: 70, retry: false, meaning: 'a bug in Tinsmith: an invariant did not hold' },
  invalid_input: { http: 400, exit: 65, retry: false, meaning: 'a manifest, CSV file, option or request is not valid' },
  invalid_params: {
    http: 400,
    exit: 65,
    retry: false,
    meaning: 'an action was given an environment that it cannot use',
  },
  invalid_template: { http: 400, exit: 65, retry: false, meaning: 'a Go template does not parse or does not render' },
  unknown_action: { http: 400, exit: 65, retry: false, meaning: 'an action image names no built-in action' },
  usage: { http: 400, exit: 64, retry: false, meaning: 'the command line is wrong' },
  not_found: { http: 404, exit: 66, retry: false, meaning: 'what was asked for does not exist' },
  conflict: {
    http: 409,
    exit: 75,
    retry: true,
    meaning: 'somebody else changed it first, or its state forbids the change',
  },
  illegal_transition: { http: 409, exit: 75, retry: false, meaning: 'the state that it is in has no such step' },
  unauthenticated: { http: 401, exit: 77, retry: false, meaning: 'no valid token or certificate was shown' },
  forbidden: { http: 403, exit: 77, retry: false, meaning: 'the caller may not do that' },
  unavailable: { http: 503, exit: 69, retry: true, meaning: 'the other side cannot be reached or is stopping' },
  timed_out: { http: 504, exit: 69, retry: true, meaning: 'it took longer than it was allowed to' },
  cancelled: { http: 409, exit: 130, retry: false, meaning: 'it was cancelled on request' },
  lost: { http: 503, exit: 69, retry: true, meaning: 'the agent stopped reporting in the middle of its work' },
  download_failed: { http: 502, exit: 69, retry: true, meaning: 'a download failed, was cut short or was refused' },
  checksum_mismatch: { http: 422, exit: 65, retry: false, meaning: 'bytes differ from their expected checksum' },
  corrupt_image: {
    http: 422,
    exit: 65,
    retry: false,
    meaning: 'an image is truncated, damaged or of an unknown format',
  },
  device_unfit: {
    http: 422,
    exit: 74,
    retry: false,
    meaning: 'a disk or partition is missing, busy, too small or of another kind',
  },
  write_failed: { http: 500, exit: 74, retry: false, meaning: 'a disk or file could not be written' },
  command_failed: { http: 500, exit: 74, retry: false, meaning: 'a program that was run ended with an error' },
  unsupported: { http: 501, exit: 78, retry: false, meaning: 'this machine or version cannot do that' },
} as const satisfies Readonly<Record<string, ErrorCodeRow>>;

interface ErrorCodeRow {
  readonly http: number;
  readonly exit: number;
  readonly retry: boolean;
  readonly meaning: string;
}

export type ErrorCode = keyof typeof ERROR_CODES;

/** One fault found in an input; a whole input's faults are collected before anything is thrown. */
export interface Problem {
  /** File name as the user gave it, or `-` for standard input. */
  readonly file: string;
  /** 1-based; 0 when the fault belongs to the whole file. */
  readonly line: number;
  readonly column: number;
  /** What is wrong, with the value, and then the fix. */
  readonly message: string;
  /** The offending value as written, if there is one. Never a secret. */
  readonly value?: string;
}

/** The only error that Tinsmith's own code throws: a code from the table and a sentence that names the value. */
export class TinsmithError extends Error {
  override readonly name = 'TinsmithError';
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];

  constructor(code: ErrorCode, sentence: string, options: { cause?: unknown; problems?: readonly Problem[] } = {}) {
    super(sentence, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problems = options.problems ?? [];
  }

  /** Turns anything caught at a border into a TinsmithError; an unknown error keeps its message and gets `fallback`. */
  static from(thrown: unknown, fallback: ErrorCode = 'internal'): TinsmithError {
    if (thrown instanceof TinsmithError) return thrown;
    if (thrown instanceof Error && thrown.name === 'TimeoutError') {
      return new TinsmithError('timed_out', thrown.message, { cause: thrown });
    }
    return new TinsmithError(fallback, messageOf(thrown), { cause: thrown });
  }
}

/** What a thrown value says of itself. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The code that Node.js or the system gave a thrown value, such as ENOENT; undefined: it has none. */
export function systemCodeOf(thrown: unknown): string | undefined {
  const code: unknown = thrown instanceof Error ? Reflect.get(thrown, 'code') : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** Whether `text` is a code of the table; for codes that arrive over the wire. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_CODES, text);
}
