import { realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';

/** Those of `names` that TFTP and HTTP would serve from one of the folders: inside it, also after following links. */
export async function existingBootFiles(
  folders: readonly string[],
  names: readonly string[],
): Promise<ReadonlySet<string>> {
  const found = new Set<string>();
  for (const folder of folders) {
    for (const name of names) {
      if (!found.has(name) && (await isInside(folder, name))) found.add(name);
    }
  }
  return found;
}

async function isInside(folder: string, name: string): Promise<boolean> {
  try {
    const [root, file] = await Promise.all([realpath(folder), realpath(join(folder, name))]);
    return file.startsWith(`${root}${sep}`);
  } catch {
    // Whatever keeps us from finding it keeps it from being served.
    return false;
  }
}
