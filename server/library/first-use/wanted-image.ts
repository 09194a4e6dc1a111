import { shownUrl } from '#proto/url-secrets.ts';
import type { Workflow } from '../../store/store.ts';
import { urlKey } from '../for-url.ts';
import { percentDecoded } from '../percent-decoded.ts';
import { actionFetches, type FetchedImage } from './action-fetch.ts';

/** An image of another server that an action is to write. */
export interface WantedImage extends Omit<FetchedImage, 'kind'> {
  /** Indices in the workflow. */
  readonly task: number;
  readonly action: number;
  readonly actionName: string;
  /** See `urlKey`. */
  readonly key: string;
  /** Without passwords and signatures. */
  readonly shown: string;
  /** Last part of its path, for people; with the host where that alone does not look like a file. */
  readonly file: string;
}

/** Images of other servers that a workflow writes, in its order. */
export function wantedImages(
  workflow: Pick<Workflow, 'rendered'>,
  isOwn: (url: URL) => boolean,
): readonly WantedImage[] {
  return actionFetches(workflow, isOwn).flatMap((fetch) => {
    if (fetch.kind !== 'image') return [];
    const { kind: _image, ...image } = fetch;
    const { url } = image;
    return [{ ...image, key: urlKey(url), shown: shownUrl(url), file: fileOf(url) }];
  });
}

function fileOf({ pathname, host }: URL): string {
  const last = pathname.split('/').findLast((part) => part !== '');
  if (last === undefined) return host;
  const name = percentDecoded(last);
  return name.includes('.') ? name : `${host}/${name}`;
}
