import type { ImageJobView, ImageView } from '../api/image-types.ts';
import { sizeText } from './quantity-text.ts';

/** What an import was to its name. */
export function outcomeLine(image: ImageView, outcome: ImageJobView['outcome']): string {
  const { name, digest } = image;
  switch (outcome) {
    case 'unchanged':
      return `image/${name} unchanged: it has that content, sha256-${digest.slice(0, 12)}…; templates name it library:${name}`;
    case 'configured':
      return `image/${name} configured: the same content, and what is new of it shows tinsmith image show ${name}`;
    case 'created':
    case undefined:
      return addedLine(image);
  }
}

function addedLine({ name, imageBytes, fileBytes, digest }: ImageView): string {
  const sizes = `${sizeText(imageBytes)}, ${sizeText(fileBytes)} in the library`;
  return `image/${name} added: ${sizes}, sha256-${digest.slice(0, 12)}…; templates name it library:${name}`;
}

/** What its name stood for until then, and who gets which of the two. */
export function replacedLine({ digest, workflows, keeping = [] }: NonNullable<ImageJobView['replaced']>): string {
  const users = workflows.length === 0 ? '' : `; these workflows get the new one: ${workflows.join(', ')}`;
  const holders = keeping.length === 0 ? '' : `; these run and keep the old one until they end: ${keeping.join(', ')}`;
  return `it replaces sha256-${digest.slice(0, 12)}…${users}${holders}`;
}
