import type { ErrorCode } from '#proto/errors.ts';
import type { LibraryImage } from '../image-library.ts';
import type { WantedImage } from './wanted-image.ts';

/** `on`: machines may fetch an image themselves where the library cannot give it; `only`: they may not. */
export type FirstUseMode = 'on' | 'only';

/** What the URL's server says about the file that the library's image was made from. */
export type UpstreamAnswer =
  | { readonly kind: 'same' }
  | { readonly kind: 'changed' }
  /** It may be there later. */
  | { readonly kind: 'away'; readonly reason: string }
  /** It will not give the file. */
  | { readonly kind: 'refused'; readonly reason: string };

/** All that the decision depends on. */
export interface ImageFacts {
  readonly mode: FirstUseMode;
  readonly wanted: Pick<WantedImage, 'shown' | 'sha256' | 'rawSha256'>;
  /** Of the library, for this URL. */
  readonly image?: LibraryImage;
  /** Whether that was imported while this workflow waited for it. */
  readonly isNew: boolean;
  /** Absent: not asked. */
  readonly upstream?: UpstreamAnswer;
  /** Of an import that was tried for this workflow. */
  readonly failure?: ImageFault;
}

/** Why an action cannot get its image, as the workflow fails with it. */
export interface ImageFault {
  readonly code: ErrorCode;
  readonly message: string;
}

/** How an action gets its image. */
export type ImageOutcome =
  /** From the library. */
  | { readonly kind: 'library'; readonly digest: string; readonly note?: string }
  /** The machine fetches it from the URL. */
  | { readonly kind: 'machine'; readonly note: string }
  | { readonly kind: 'failed'; readonly fault: ImageFault };

/** The outcome, or what has to be done before there is one. */
export type ImageStep = ImageOutcome | { readonly kind: 'ask' } | { readonly kind: 'import' };

/**
 * An image is used again when its sums are the ones that the action names, when an operator said that it is the one for this URL,
 * or when the URL's server says that it has not changed. Sums that differ rule an image out whatever else is true.
 */
export function decideImage(facts: ImageFacts): ImageStep {
  const { mode, wanted, image, failure } = facts;
  const known = image !== undefined && fits(image, wanted) ? useAgain(image, facts) : undefined;
  if (known !== undefined) return known;
  if (failure === undefined) return { kind: 'import' };
  return mode === 'on'
    ? { kind: 'machine', note: failure.message }
    : { kind: 'failed', fault: unavailable(facts, failure) };
}

/** What becomes of an image that fits; undefined: its URL has another one by now. */
function useAgain(image: LibraryImage, { mode, wanted, isNew, upstream }: ImageFacts): ImageStep | undefined {
  const use = { kind: 'library', digest: image.digest } as const;
  if (isNew || mode === 'only' || image.forUrl?.isPinned === true || isVouchedFor(image, wanted)) return use;
  switch (upstream?.kind) {
    case undefined:
      return { kind: 'ask' };
    case 'same':
      return use;
    case 'away':
      return { ...use, note: `${upstream.reason}: the image that was imported ${image.addedAt.toISOString()} is used` };
    case 'refused':
      return { kind: 'machine', note: upstream.reason };
    case 'changed':
      return undefined;
  }
}

/** Of several images for one URL: one that fits, what an operator chose first, then the newest. */
export function chooseImage(images: readonly LibraryImage[], wanted: ImageFacts['wanted']): LibraryImage | undefined {
  const rank = (image: LibraryImage): number =>
    (fits(image, wanted) ? 2 : 0) + (image.forUrl?.isPinned === true ? 1 : 0);
  return images.toSorted((a, b) => rank(b) - rank(a) || b.addedAt.getTime() - a.addedAt.getTime())[0];
}

function fits(image: LibraryImage, { sha256, rawSha256 }: ImageFacts['wanted']): boolean {
  if (rawSha256 !== undefined && rawSha256 !== image.imageSha256) return false;
  if (sha256 === undefined || sha256 === image.sourceSha256) return true;
  // Nobody summed up its source: then the image's own sum has to tell.
  return image.sourceSha256 === undefined && rawSha256 !== undefined;
}

/** Of an image that fits: whether a sum of the action names this very content. */
function isVouchedFor(image: LibraryImage, { sha256, rawSha256 }: ImageFacts['wanted']): boolean {
  return rawSha256 !== undefined || (sha256 !== undefined && sha256 === image.sourceSha256);
}

function unavailable({ wanted, image }: ImageFacts, { code, message }: ImageFault): ImageFault {
  const lacks =
    image === undefined
      ? `${wanted.shown} is not in the library`
      : `the library's image ${image.name} is not the ${wanted.shown} whose SHA-256 the action names`;
  const fix = 'if you have its file, add it with tinsmith image add NAME FILE --for-url URL and retry the workflow';
  return { code, message: `${lacks}, and cannot be imported: ${message}; ${fix}` };
}
