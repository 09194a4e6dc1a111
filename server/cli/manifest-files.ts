import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { systemCodeOf, TinsmithError } from '#proto/errors.ts';
import type { CommandContext, CommandInput, ManifestFile, OptionSpec } from './command.ts';

const EXTENSIONS = new Set(['.yaml', '.yml', '.json', '.csv']);
/** The server takes no more in one request, and manifests are small. */
const LARGEST_BYTES = 7 * 1024 * 1024;

export const FILENAME_OPTION: Readonly<Record<'filename', OptionSpec>> = {
  filename: {
    type: 'string',
    short: 'f',
    multiple: true,
    value: 'FILE',
    summary: 'YAML, JSON or CSV file, a folder of such files, or - for standard input.',
  },
};

/**
 * Reads what `-f` (and, where there is one, `--hardware`) names, in that order, a folder's files sorted by name (not its subfolders').
 * @throws TinsmithError `usage` when nothing is named, `not_found`, or `invalid_input` for what is no text of a manifest's size.
 */
export async function readManifestFiles(
  context: CommandContext,
  input: CommandInput,
): Promise<readonly ManifestFile[]> {
  const names = [...input.texts('filename'), ...input.texts('hardware')];
  if (names.length === 0) throw new TinsmithError('usage', 'no file is named: use -f FILE, -f FOLDER or -f -');
  const files: ManifestFile[] = [];
  for (const name of names) {
    if (name === '-') files.push({ name, text: await context.readStandardInput() });
    else for (const path of await pathsOf(name)) files.push({ name: path, text: await readText(path) });
  }
  const total = files.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0);
  if (total > LARGEST_BYTES) {
    throw new TinsmithError(
      'invalid_input',
      `the files have ${total} bytes together: use at most ${LARGEST_BYTES} at once`,
    );
  }
  return files;
}

async function pathsOf(name: string): Promise<readonly string[]> {
  const facts = await explained(name, () => stat(name));
  if (!facts.isDirectory()) return [name];
  const entries = await explained(name, () => readdir(name));
  const paths = entries
    .filter((entry) => EXTENSIONS.has(extname(entry).toLowerCase()))
    .toSorted()
    .map((entry) => join(name, entry));
  if (paths.length === 0) {
    throw new TinsmithError('not_found', `the folder ${name} holds no file that ends in ${[...EXTENSIONS].join(', ')}`);
  }
  return paths;
}

export async function readText(path: string): Promise<string> {
  const bytes = await explained(path, () => readFile(path));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new TinsmithError('invalid_input', `cannot read ${path}: it is not UTF-8 text`, { cause });
  }
}

async function explained<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const code = systemCodeOf(cause) ?? 'unknown';
    if (code === 'ENOENT') throw new TinsmithError('not_found', `there is no file ${path}`, { cause });
    throw new TinsmithError('invalid_input', `cannot read ${path}: ${code}`, { cause });
  }
}
