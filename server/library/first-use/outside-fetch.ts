import { archive2disk } from '#proto/actions/archive2disk.ts';
import { imageBaseName } from '#proto/actions/catalog.ts';
import type { OciReference } from '#proto/actions/oci-reference.ts';
import { oci2disk } from '#proto/actions/oci2disk.ts';
import { TinsmithError } from '#proto/errors.ts';
import { shownUrl } from '#proto/url-secrets.ts';
import type { Workflow } from '../../store/store.ts';
import { orUndefined } from './wanted-image.ts';

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
  { rendered }: Pick<Workflow, 'rendered'>,
  isOwn: (url: URL) => boolean,
): readonly OutsideFetch[] {
  return rendered.tasks.flatMap((each, task) =>
    each.actions.flatMap(({ name, image, environment, command }) => {
      const builtIn = imageBaseName(image);
      if (builtIn === 'archive2disk') {
        const url = orUndefined(() => new URL(archive2disk.parse(environment, command).url));
        if (url === undefined || isOwn(url)) return [];
        const fix =
          "put the archive into the server's images folder, and name it http://<server>:<http-port>/images/FILE";
        return [{ task, error: refusal(`${name} (archive2disk)`, shownUrl(url), fix) }];
      }
      if (builtIn !== 'oci2disk') return [];
      const reference = orUndefined(() => oci2disk.parse(environment, command).image);
      if (reference === undefined) return [];
      const shown = shownReference(reference);
      const fix = `import it (tinsmith image add NAME oci://${shown}), and let image2disk write library:NAME`;
      return [{ task, error: refusal(`${name} (oci2disk)`, shown, fix) }];
    }),
  );
}

function refusal(action: string, shown: string, fix: string): TinsmithError {
  const fact = `the action ${action} fetches ${shown}, and with --library-import only machines fetch nothing outside`;
  return new TinsmithError('forbidden', `${fact}: ${fix}`);
}

function shownReference({ origin, repository, version }: OciReference): string {
  const end = 'tag' in version ? `:${version.tag}` : `@${version.digest}`;
  return `${new URL(origin).host}/${repository}${end}`;
}
