import { createHash } from 'node:crypto';
import { TinsmithError } from '#proto/errors.ts';
import type { AddOutcome } from './added-again.ts';
import type { OutsideChecks } from './checks/outside-checks.ts';
import type { ForUrl } from './for-url.ts';
import type { ImageLibrary, LibraryImage, SourceFacts } from './image-library.ts';
import { openImageSource } from './image-source.ts';
import { type ImageUsers, requireFreeUrl } from './image-use.ts';
import { atSource } from './source-fault.ts';

/** What is to be imported, under which name, and what it has to be. */
export interface ImageOrder extends OutsideChecks {
  readonly name: string;
  /** Absolute path on the server, http or https URL, or OCI reference. */
  readonly source: string;
  /** Of the image that comes out of it; lower-case hex. */
  readonly imageSha256?: string;
  /** For an OCI reference. */
  readonly credentials?: { readonly username: string; readonly password: string };
  readonly architecture?: 'amd64' | 'arm64';
  /** Of zstd, 1 to 19. */
  readonly level: number;
  /** Workflows that name this URL are to get the image. */
  readonly forUrl?: ForUrl;
  /** Whether it may take the name of another image that unfinished workflows need. */
  readonly replace?: boolean;
  /** Instead of the library's own: `http://host:port`; empty: none. */
  readonly proxy?: string;
  /** Default: an operator. */
  readonly actor?: 'operator' | 'server';
}

/** An image that lost its name to another one. */
export interface ReplacedImage {
  readonly digest: string;
  /** Unfinished workflows that get the new one. */
  readonly workflows: readonly string[];
  /** Unfinished workflows that run with the old one and keep it. */
  readonly keeping: readonly string[];
}

const NOBODY: ImageUsers = { workflows: [], asking: [], holding: [] };

/** Tells orders apart. Only that is kept of one: it may hold a password. */
export function orderKey(order: ImageOrder): string {
  return createHash('sha256').update(JSON.stringify(order)).digest('hex');
}

/** What a job hears and tells while it runs. */
export interface JobControl {
  readonly signal: AbortSignal;
  readonly replaced: (image: ReplacedImage) => void;
  readonly outcome: (outcome: AddOutcome) => void;
  readonly progress: (done: number, total: number | undefined) => void;
  readonly trouble: (text: string) => void;
}

/** What imports work with, and who hears how they end. */
export interface ImportOptions {
  readonly library: ImageLibrary;
  /** For sources on other hosts. */
  readonly proxy?: string;
  /** Told of each import that ended well. */
  readonly onAdded: (image: LibraryImage, order: ImageOrder) => Promise<void>;
  /** Told of each of an operator that did not: nobody may be looking any more. A server that stops is a reason, too. Must not throw. */
  readonly onFailed: (error: TinsmithError, order: ImageOrder) => Promise<void>;
  /** Unfinished workflows that name the image `name`; `digest`: what that stands for now. */
  readonly usersOf: (name: string, digest: string | undefined) => Promise<ImageUsers>;
}

/** Imports what is ordered and tells of it, however it ends. Throws what ended it. */
export async function importImage(
  order: ImageOrder,
  control: JobControl,
  options: ImportOptions,
): Promise<LibraryImage> {
  const { library, proxy, onAdded, onFailed, usersOf } = options;
  const { name, forUrl, actor } = order;
  let image: LibraryImage;
  try {
    // Another one for the URL may have ended since its asker looked.
    if (forUrl?.isPinned === true) await requireFreeUrl(name, forUrl, library);
    image = await addImage(library, { ...(proxy !== undefined && { proxy }), ...order }, control, usersOf);
  } catch (thrown) {
    if (actor !== 'server') await onFailed(TinsmithError.from(thrown), order);
    throw thrown;
  }
  // Outside: an image that is there has not failed, whatever becomes of the news.
  await onAdded(image, order);
  return image;
}

async function addImage(
  library: ImageLibrary,
  order: ImageOrder,
  { signal, progress, trouble, replaced, outcome }: JobControl,
  usersOf: ImportOptions['usersOf'],
): Promise<LibraryImage> {
  const { name, level, imageSha256, source: from, forUrl, proxy, actor, replace, ...how } = order;
  const requireReplaceable = async (digest: string): Promise<ImageUsers> => {
    // What the server imports by itself stands for a URL; who was promised the old one keeps it.
    const users = actor === 'server' ? NOBODY : await usersOf(name, digest);
    if (users.workflows.length > 0 && replace !== true) throw needed(name, users.workflows);
    return users;
  };
  // A machine can wait for a server that is started anew; whoever typed an address wants to know.
  const contact = { endsUnreached: actor !== 'server', trouble };
  await using source = await openImageSource(from, {
    ...how,
    ...(proxy !== undefined && proxy !== '' && { proxy }),
    isSummed: forUrl !== undefined,
    contact,
    signal,
    scratch: library.scratch,
    progress,
  });
  // Another source may still hold the same bytes, but it is not likely, and hours may be saved.
  const held = (await library.list()).find((image) => image.name === name);
  if (held !== undefined && held.source !== source.shown) await requireReplaceable(held.digest);
  try {
    return await library.add(name, source.image, {
      source: source.shown,
      level,
      signal,
      outcome,
      // What the source gave is what is told: packing follows at once.
      progress: () => undefined,
      sourceFacts: () => withImageSum(source.facts(), imageSha256),
      beforeReplace: async ({ digest }) => {
        const { asking, holding } = await requireReplaceable(digest);
        replaced({ digest, workflows: asking, keeping: holding });
      },
      ...(forUrl !== undefined && { forUrl }),
      ...(imageSha256 !== undefined && { imageSha256 }),
    });
  } catch (thrown) {
    throw atSource(thrown, source.shown);
  }
}

/** The library compares the sum of the image itself. */
function withImageSum(facts: SourceFacts, imageSha256: string | undefined): SourceFacts {
  if (imageSha256 === undefined) return facts;
  return { ...facts, vouchedBy: [...(facts.vouchedBy ?? []), { kind: 'sum', of: 'image' }] };
}

function needed(name: string, users: readonly string[]): TinsmithError {
  const fact = `another image has that name, and unfinished workflows need it: ${users.join(', ')}`;
  const fix = `take another name, wait for them, or use --replace: those that have not begun get this one, those that run keep the other`;
  return new TinsmithError('conflict', `cannot add the image ${name}: ${fact}: ${fix}`);
}
