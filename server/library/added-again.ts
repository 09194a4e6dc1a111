import { isDeepStrictEqual } from 'node:util';
import type { VouchedBy } from './checks/vouched-by.ts';
import type { LibraryImage } from './image-library.ts';

/** What an import was to its name; `configured`: it stands for another image, or more is known of the one that it had. */
export type AddOutcome = 'created' | 'configured' | 'unchanged';

/** Which image a name stands for after an import, and what that changed. */
export interface AddedAgain {
  readonly image: LibraryImage;
  readonly outcome: AddOutcome;
}

/** A list is what its server says, a sum what whoever ordered the import says, and a signature whose image it is. */
const WEIGHTS: Readonly<Record<VouchedBy['kind'], number>> = { checksums: 1, sum: 2, digest: 2, signature: 3 };

/**
 * The same content again takes nothing from what is known of it: where it came from and what vouched for that stay, unless the new
 * import has better evidence; the URL that it is for stays, unless the new import is for one.
 */
export function addedAgain(old: LibraryImage | undefined, made: LibraryImage): AddedAgain {
  if (old === undefined) return { image: made, outcome: 'created' };
  if (old.imageSha256 !== made.imageSha256) return { image: made, outcome: 'configured' };
  const origin = isStronger(made.vouchedBy, old.vouchedBy) ? made : old;
  const { forUrl: _url, sourceSha256: _sum, sourceBytes: _bytes, validator: _v, vouchedBy: _by, ...content } = made;
  const { source, vouchedBy } = origin;
  // Of what the server imports by itself the newest is used, and asked after by its date.
  const { addedAt } = made.forUrl?.isPinned === false ? made : origin;
  const image = {
    ...content,
    source,
    addedAt,
    ...(vouchedBy && { vouchedBy }),
    ...ofUrl([made, old].find(({ forUrl }) => forUrl !== undefined) ?? origin),
  };
  return { image, outcome: isDeepStrictEqual(image, old) ? 'unchanged' : 'configured' };
}

function isStronger(one: LibraryImage['vouchedBy'], other: LibraryImage['vouchedBy']): boolean {
  const [more, less] = [weightOf(one), weightOf(other)];
  return more.best === less.best ? more.count > less.count : more.best > less.best;
}

function weightOf(vouchedBy: LibraryImage['vouchedBy'] = []): { readonly best: number; readonly count: number } {
  return { best: Math.max(0, ...vouchedBy.map(({ kind }) => WEIGHTS[kind])), count: vouchedBy.length };
}

/** What is known of the file behind the URL goes with the URL. */
function ofUrl({ forUrl, sourceSha256, sourceBytes, validator }: LibraryImage): Partial<LibraryImage> {
  return {
    ...(forUrl && { forUrl }),
    ...(sourceSha256 !== undefined && { sourceSha256 }),
    ...(sourceBytes !== undefined && { sourceBytes }),
    ...(validator !== undefined && { validator }),
  };
}
