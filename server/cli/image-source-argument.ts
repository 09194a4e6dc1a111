import { stat } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { TinsmithError } from '#proto/errors.ts';

/**
 * The source of an image as it was given: a path for the server, which runs on this host but in another folder, a URL, or an OCI
 * reference; `-`: the line on standard input, because argv is visible to everyone and a URL may hold a secret. Throws `usage`.
 */
export async function imageSource(
  given: string,
  isInputTaken: boolean,
  readStandardInput: () => Promise<string>,
): Promise<string> {
  if (given !== '-') return sourceOf(given);
  if (isInputTaken) {
    const fix = 'leave out one of them, or set REGISTRY_PASSWORD';
    throw new TinsmithError('usage', `SOURCE is - and --password-stdin reads standard input, too: ${fix}`);
  }
  const line = (await readStandardInput()).trim();
  if (line === '' || /\s/.test(line)) {
    // What came instead is in no sentence: it may be a secret.
    const fact = line === '' ? 'standard input is empty' : 'standard input has more than one word';
    throw new TinsmithError('usage', `${fact}: give it one line, the URL or path of the image`);
  }
  return sourceOf(line);
}

async function sourceOf(given: string): Promise<string> {
  if (given.includes('://') || isAbsolute(given)) return given;
  const path = resolve(given);
  const isReference = /^([^/@]*[.:][^/@]*|localhost)\/[^/]/.test(given) && !/^\.{1,2}\//.test(given);
  if (!isReference) return path;
  // A file that is there is meant, however its name looks.
  return stat(path).then(
    () => path,
    () => `oci://${given}`,
  );
}
