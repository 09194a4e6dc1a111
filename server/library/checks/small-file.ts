import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { oneProxy } from '#proto/actions/proxy.ts';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { parseHttpUrl } from '#proto/http-url.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';
import { noFileFact } from '../no-file.ts';
import { openRemoteFile, type SourceContact } from '../sources/remote-file.ts';

/** How a file on another host is reached. */
export interface SmallFileAccess {
  readonly signal: AbortSignal;
  readonly proxy?: string;
  readonly contact?: SourceContact;
}

interface SmallFileOptions extends SmallFileAccess {
  /** What it is, for sentences: `the checksums`. */
  readonly what: string;
}

/** Lists of all releases of a distribution have some hundred KiB. */
const MOST_BYTES = 4 << 20;
const READ_BYTES = 256 << 10;

/** All of a file on this host (absolute path) or behind a URL. Throws `not_found`, `invalid_input` or `download_failed`. */
export async function readSmallFile(
  source: string,
  { what, signal, proxy, contact }: SmallFileOptions,
): Promise<Buffer> {
  if (isAbsolute(source)) return readLocal(source, what, signal);
  const url = parseHttpUrl(source);
  if (url === undefined) {
    const shown = JSON.stringify(withoutUrlSecrets(source).slice(0, 200));
    throw new TinsmithError(
      'invalid_input',
      `cannot read ${what} from ${shown}: use an absolute path or an http or https URL`,
    );
  }
  await using file = await openRemoteFile({
    url,
    proxy: oneProxy(proxy),
    signal,
    hasChecksum: false,
    ...(contact && { contact }),
  });
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of file.stream()) {
    bytes += part.length;
    if (bytes > MOST_BYTES) throw tooLarge(what, file.shown);
    parts.push(Buffer.from(part));
  }
  return Buffer.concat(parts);
}

async function readLocal(path: string, what: string, signal: AbortSignal): Promise<Buffer> {
  try {
    // A pipe without a writer would otherwise hold one of the few threads that all files share, for ever.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat();
    if (!stats.isFile()) throw new TinsmithError('invalid_input', `cannot use ${what} ${path}: ${noFileFact(stats)}`);
    if (stats.size > MOST_BYTES) throw tooLarge(what, path);
    // Its size may be wrong by now, and files of /proc have none.
    const into = Buffer.alloc(MOST_BYTES + 1);
    let bytes = 0;
    for (let read = -1; read !== 0 && bytes < into.length; bytes += read) {
      signal.throwIfAborted();
      ({ bytesRead: read } = await handle.read(into, bytes, Math.min(into.length - bytes, READ_BYTES)));
    }
    if (bytes > MOST_BYTES) throw tooLarge(what, path);
    return Buffer.from(into.subarray(0, bytes));
  } catch (cause) {
    if (signal.aborted || cause instanceof TinsmithError) throw cause;
    const reason = messageOf(cause);
    throw new TinsmithError('not_found', `cannot read ${what} ${path} on the server: ${reason}`, { cause });
  }
}

function tooLarge(what: string, shown: string): TinsmithError {
  return new TinsmithError('invalid_input', `cannot use ${what} ${shown}: it has more than ${MOST_BYTES} bytes`);
}
