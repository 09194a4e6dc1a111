import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PROJECT } from './world.ts';

/** The Ubuntu family's default template, filled in as for a cluster: for a machine that is in none. */
export async function ubuntuTemplateYaml(name: string, imageUrl: string, metadataUrl: string): Promise<string> {
  const words: Readonly<Record<string, string>> = {
    template: name,
    cluster: name,
    osImageUrl: imageUrl,
    metadataUrlList: metadataUrl,
  };
  const text = await readFile(join(PROJECT, 'server/cluster/templates/ubuntu.yaml'), 'utf8');
  return text
    .split('\n')
    .filter((line) => !line.includes('roxy@'))
    .map((line) => line.replace(/@([a-zA-Z]+)@/, (hole, word: string) => words[word] ?? hole))
    .join('\n');
}
