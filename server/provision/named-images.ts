import { imageBaseName } from '#proto/actions/catalog.ts';
import { libraryName } from '#proto/actions/image2disk.ts';
import type { RenderedTask } from '../manifests/template-kind.ts';

/** What a name of the library, or `sha256-<digest>`, stands for now; undefined: the library has no such image. */
export type LibraryDigestOf = (nameOrDigest: string) => Promise<string | undefined>;

/**
 * Digests of the images that a task's actions name as `library:NAME`, by the index of the action. One that the library has not is left
 * out: its agent asks by the name, and says what is wrong.
 */
export async function namedDigests(
  { actions }: RenderedTask,
  digestOf: LibraryDigestOf = async () => undefined,
): Promise<ReadonlyMap<number, string>> {
  const digests = new Map<number, string>();
  for (const [index, { image, environment }] of actions.entries()) {
    if (imageBaseName(image) !== 'image2disk') continue;
    const name = libraryName(environment['IMG_URL'] ?? '');
    const digest = name === undefined ? undefined : await digestOf(name);
    if (digest !== undefined) digests.set(index, digest);
  }
  return digests;
}
