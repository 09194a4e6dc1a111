import { archive2disk } from '#proto/actions/archive2disk.ts';
import { imageBaseName } from '#proto/actions/catalog.ts';
import { image2disk } from '#proto/actions/image2disk.ts';
import type { OciReference } from '#proto/actions/oci-reference.ts';
import { oci2disk } from '#proto/actions/oci2disk.ts';
import type { ProxyParams } from '#proto/actions/proxy.ts';
import { qemuimg2disk } from '#proto/actions/qemuimg2disk.ts';
import type { Workflow } from '../../store/store.ts';

/** What an action gets from another server and writes to a disk. */
export type ActionFetch = FetchingAction & Fetched;

interface FetchingAction {
  /** Indices in the workflow. */
  readonly task: number;
  readonly action: number;
  readonly actionName: string;
}

type Fetched = FetchedImage | FetchedArchive | FetchedLayer;

/** By image2disk or qemuimg2disk. */
export interface FetchedImage {
  readonly kind: 'image';
  /** With its passwords and signatures: for the download and nothing else. */
  readonly url: URL;
  /** Of the file as it is downloaded; lower-case hex. */
  readonly sha256?: string;
  /** Of the image that comes out of it. */
  readonly rawSha256?: string;
  readonly proxy: ProxyParams;
}

/** By archive2disk. */
interface FetchedArchive {
  readonly kind: 'archive';
  readonly url: URL;
}

/** By oci2disk. */
interface FetchedLayer {
  readonly kind: 'layer';
  readonly reference: OciReference;
}

/**
 * What the actions of a workflow fetch from other servers, in its order. What an action cannot read itself is not among it: the agent
 * refuses it with the same sentence as it does without a library.
 */
export function actionFetches(
  { rendered }: Pick<Workflow, 'rendered'>,
  isOwn: (url: URL) => boolean,
): readonly ActionFetch[] {
  return rendered.tasks.flatMap((each, task) =>
    each.actions.flatMap(({ name, image, environment, command }, action) => {
      const fetched = read(imageBaseName(image), environment, command);
      if (fetched === undefined || ('url' in fetched && isOwn(fetched.url))) return [];
      return [{ task, action, actionName: name, ...fetched }];
    }),
  );
}

function read(builtIn: string, ...given: Given): Fetched | undefined {
  try {
    return READERS[builtIn]?.(...given);
  } catch {
    // The agent says why.
    return undefined;
  }
}

type Given = readonly [environment: Readonly<Record<string, string>>, command: readonly string[]];

/** By the name of the built-in action. */
const READERS: Readonly<Record<string, (...given: Given) => Fetched | undefined>> = {
  archive2disk: (...given) => ({ kind: 'archive', url: new URL(archive2disk.parse(...given).url) }),
  image2disk(...given) {
    const { image, sha256, rawSha256, proxy } = image2disk.parse(...given);
    if (!('url' in image)) return undefined;
    const sums = { ...(sha256 !== undefined && { sha256 }), ...(rawSha256 !== undefined && { rawSha256 }) };
    return { kind: 'image', url: new URL(image.url), proxy, ...sums };
  },
  oci2disk: (...given) => ({ kind: 'layer', reference: oci2disk.parse(...given).image }),
  qemuimg2disk(...given) {
    const { url, sha256, proxy } = qemuimg2disk.parse(...given);
    return { kind: 'image', url: new URL(url), proxy, ...(sha256 !== undefined && { sha256 }) };
  },
};
