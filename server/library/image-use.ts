import { imageBaseName } from '#proto/actions/catalog.ts';
import { libraryName } from '#proto/actions/image2disk.ts';
import { TinsmithError } from '#proto/errors.ts';
import { nearestKnown } from '../manifests/did-you-mean.ts';
import type { GivenImage, Store, Workflow } from '../store/store.ts';
import type { ImagesOnFirstUse } from './first-use/images-on-first-use.ts';
import type { ForUrl } from './for-url.ts';
import type { ImageLibrary, LibraryImage } from './image-library.ts';
import { type DamagedName, isDamaged } from './name-files.ts';

const BY_DIGEST = /^sha256-([0-9a-f]{64})$/;

/** What actions are rendered to, as far as it names images. */
interface NamingTask {
  readonly actions: readonly { readonly image: string; readonly environment: Readonly<Record<string, string>> }[];
}

/** What actions call images of the library: their names, or `sha256-<digest>`; each once. */
export function libraryNames(tasks: readonly NamingTask[]): readonly string[] {
  const names = tasks.flatMap(({ actions }) =>
    actions.flatMap(({ image, environment }) => {
      return imageBaseName(image) === 'image2disk' ? (libraryName(environment['IMG_URL'] ?? '') ?? []) : [];
    }),
  );
  return [...new Set(names)];
}

/** Unfinished workflows that name an image, by their names. */
export interface ImageUsers {
  readonly workflows: readonly string[];
  /** Those among them that have yet to be told what the name stands for. */
  readonly asking: readonly string[];
  /** Those that run with what the name stands for now: they keep it, whatever becomes of the name. */
  readonly holding: readonly string[];
}

/** `digest`: what the name stands for now. */
export async function usersOf(name: string, digest: string | undefined, store: Store): Promise<ImageUsers> {
  const naming = (await unfinishedWorkflows(store)).filter(({ rendered }) =>
    libraryNames(rendered.tasks).includes(name),
  );
  const given = await store.givenImages();
  const givenTo = (workflow: Workflow): readonly GivenImage[] =>
    // One that waits was interrupted: its next attempt asks anew.
    workflow.state === 'running' ? given.filter((each) => each.workflow === workflow.name) : [];
  const asks = (workflow: Workflow): boolean => {
    const told = givenTo(workflow).map(({ task }) => task);
    return workflow.rendered.tasks.some(
      (task, index) => index >= workflow.task && !told.includes(index) && libraryNames([task]).includes(name),
    );
  };
  const holds = (workflow: Workflow): boolean => givenTo(workflow).some((each) => each.digest === digest);
  const [asking, holding] = [naming.filter(asks), naming.filter(holds)];
  return { workflows: namesOf(naming), asking: namesOf(asking), holding: namesOf(holding) };
}

function namesOf(workflows: readonly Workflow[]): readonly string[] {
  return workflows.map(({ name }) => name);
}

/** Digests that unfinished workflows were promised or given, or name themselves: `gc` keeps them. */
export async function digestsInUse(store: Store, firstUse: ImagesOnFirstUse | undefined): Promise<ReadonlySet<string>> {
  const given = (await store.givenImages()).map(({ digest }) => digest);
  const named = (await unfinishedWorkflows(store)).flatMap(({ rendered }) => libraryNames(rendered.tasks));
  const digests = named.flatMap((name) => BY_DIGEST.exec(name)?.[1] ?? []);
  return new Set([...given, ...digests, ...(firstUse?.digestsInUse() ?? [])]);
}

async function unfinishedWorkflows(store: Store): Promise<readonly Workflow[]> {
  return store.listWorkflows({ states: ['pending', 'running', 'waiting'] });
}

/** Throws `conflict` when an unfinished workflow names the image, or was promised or given it. */
export async function requireUnused(
  image: LibraryImage | DamagedName,
  store: Store,
  firstUse: ImagesOnFirstUse | undefined,
): Promise<void> {
  const { name } = image;
  // Of a damaged name nobody knows what was promised.
  const digest = isDamaged(image) ? undefined : image.digest;
  const promised = (digest === undefined ? undefined : firstUse?.promisedTo(digest)) ?? new Set();
  const given = (await store.givenImages()).filter((each) => each.digest === digest).map(({ workflow }) => workflow);
  const unfinished = await unfinishedWorkflows(store);
  const isUser = (workflow: Workflow): boolean => {
    const names = libraryNames(workflow.rendered.tasks);
    return (
      names.includes(name) ||
      names.includes(`sha256-${digest}`) ||
      promised.has(workflow.name) ||
      given.includes(workflow.name)
    );
  };
  const users = unfinished.filter(isUser).map((workflow) => workflow.name);
  if (users.length === 0) return;
  const fact = `unfinished workflows need it: ${users.join(', ')}`;
  const fix = `wait for them, cancel them (tinsmith workflow cancel ${users[0]}), or remove it with --force`;
  throw new TinsmithError('conflict', `cannot remove the image ${name}: ${fact}: ${fix}`);
}

/** Of names of images, or `sha256-<digest>`, those that the library has not. */
export async function missingImages(names: Iterable<string>, library: ImageLibrary): Promise<readonly string[]> {
  const asked = await Promise.all([...names].map(async (name) => ((await library.has(name)) ? [] : [name])));
  return asked.flat();
}

/** Name of the image of the library that may be meant by a name that it has not. */
export async function nearestImage(name: string, library: ImageLibrary): Promise<string | undefined> {
  const known = (await library.list()).map((image) => image.name);
  return nearestKnown(name, known);
}

/** For those of the names that may be misspelt: what the library has instead. */
export async function nearestImages(
  missing: readonly string[],
  library: ImageLibrary,
): Promise<Readonly<Record<string, string>>> {
  if (missing.length === 0) return {};
  const known = (await library.list()).map(({ name }) => name);
  return Object.fromEntries(
    missing.flatMap((name) => {
      const nearest = nearestKnown(name, known);
      return nearest === undefined ? [] : [[name, nearest]];
    }),
  );
}

/** Throws `conflict` when an operator said of another image that it is for this URL: which one machines got would depend on sums and dates. */
export async function requireFreeUrl(name: string, { key, shown }: ForUrl, library: ImageLibrary): Promise<void> {
  const images = await library.list();
  const other = images.find(({ forUrl, ...image }) => forUrl?.isPinned && forUrl.key === key && image.name !== name);
  if (other === undefined) return;
  const fix = `remove that first (tinsmith image remove ${other.name}), or import under its name`;
  throw new TinsmithError(
    'conflict',
    `cannot add the image ${name} for ${shown}: the image ${other.name} is for that URL: ${fix}`,
  );
}
