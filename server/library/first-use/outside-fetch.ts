import type { OciReference } from '#proto/actions/oci-reference.ts';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import type { Workflow } from '../../store/store.ts';
import { type ActionFetch, actionFetches } from './action-fetch.ts';

/** What a machine would fetch from another server itself, and the library cannot give it. */
export interface OutsideFetch {
  readonly task: number;
  /** Why it may not, and what to do instead. */
  readonly error: TinsmithError;
}

/**
 * Of a site whose machines fetch nothing outside: archives are no disk images, so they are never in the library; an image of a
 * registry is put there by an operator, who knows its user and its architecture.
 */
export function outsideFetches(
  workflow: Pick<Workflow, 'rendered'>,
  isOwn: (url: URL) => boolean,
): readonly OutsideFetch[] {
  return actionFetches(workflow, isOwn).flatMap((fetch) => {
    const error = refusal(fetch);
    return error === undefined ? [] : [{ task: fetch.task, error }];
  });
}

/** Undefined: the library gives it. */
function refusal(fetch: ActionFetch): TinsmithError | undefined {
  switch (fetch.kind) {
    case 'image':
      return undefined;
    case 'archive': {
      const fix =
        "put the archive into the server's images folder, and name it http://<server>:<http-port>/images/FILE";
      return refused(`${fetch.actionName} (archive2disk)`, shownUrl(fetch.url), fix);
    }
    case 'layer': {
      const shown = shownReference(fetch.reference);
      const fix = `import it (tinsmith image add NAME oci://${shown}), and let image2disk write library:NAME`;
      return refused(`${fetch.actionName} (oci2disk)`, shown, fix);
    }
  }
}

function refused(action: string, shown: string, fix: string): TinsmithError {
  const fact = `the action ${action} fetches ${shown}, and with --library-import only machines fetch nothing outside`;
  return new TinsmithError('forbidden', `${fact}: ${fix}`);
}

function shownReference({ origin, repository, version }: OciReference): string {
  const end = 'tag' in version ? `:${version.tag}` : `@${version.digest}`;
  return `${new URL(origin).host}/${repository}${end}`;
}
