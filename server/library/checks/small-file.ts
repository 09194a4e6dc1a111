import { open } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { oneProxy } from '#proto/actions/proxy.ts';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { parseHttpUrl } from '#proto/http-url.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';
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

/** All of a file on this host (absolute path) or behind a URL. Throws `not_found`, `invalid_input` or `download_failed`. */
export async function readSmallFile(
  source: string,
  { what, signal, proxy, contact }: SmallFileOptions,
): Promise<Buffer> {
  if (isAbsolute(source)) return readLocal(source, what);
  const url = parseHttpUrl(source);
  if (url === undefined) {
    const shown = JSON.stringify(withoutUrlSecrets(source.slice(0, 200)));
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

async function readLocal(path: string, what: string): Promise<Buffer> {
  try {
    await using handle = await open(path, 'r');
    if ((await handle.stat()).size > MOST_BYTES) throw tooLarge(what, path);
    return await handle.readFile();
  } catch (cause) {
    if (cause instanceof TinsmithError) throw cause;
    const reason = messageOf(cause);
    throw new TinsmithError('not_found', `cannot read ${what} ${path} on the server: ${reason}`, { cause });
  }
}

function tooLarge(what: string, shown: string): TinsmithError {
  return new TinsmithError('invalid_input', `cannot use ${what} ${shown}: it has more than ${MOST_BYTES} bytes`);
}
