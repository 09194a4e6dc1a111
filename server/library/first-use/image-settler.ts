import { oneProxy } from '#proto/actions/proxy.ts';
import type { ImageLibrary, LibraryImage } from '../image-library.ts';
import { askUpstream } from './ask-upstream.ts';
import {
  chooseImage,
  decideImage,
  type FirstUseMode,
  type ImageFacts,
  type ImageFault,
  type ImageOutcome,
  type UpstreamAnswer,
} from './decide-image.ts';
import { type ImageImports, proxyOf } from './image-imports.ts';
import type { WantedImage } from './wanted-image.ts';

export interface ImageSettlerOptions {
  readonly mode: FirstUseMode;
  readonly library: ImageLibrary;
  readonly imports: ImageImports;
  /** For actions that name no proxy. */
  readonly proxy?: string;
  /** Ends the waiting, not the imports. */
  readonly signal: AbortSignal;
}

/** What was found out for one image of one run. */
interface Learned {
  /** Digest of an image that was imported for somebody else meanwhile. */
  readonly added?: string;
  /** Digest of the image that was imported just as this action wants it. */
  readonly made?: string;
  readonly failure?: ImageFault;
  readonly answer?: { readonly of: string; readonly upstream: UpstreamAnswer };
}

/** Does what `decideImage` says, until it is known how an action gets its image. */
export class ImageSettler {
  readonly #options: ImageSettlerOptions;
  readonly #asking = new Map<string, Promise<UpstreamAnswer>>();
  /** Rejects when it stops. */
  readonly #stopped = Promise.withResolvers<never>();

  constructor(options: ImageSettlerOptions) {
    this.#options = options;
    const { signal } = options;
    signal.addEventListener('abort', () => this.#stopped.reject(signal.reason), { once: true });
    this.#stopped.promise.catch(() => undefined); // it may be that nobody waits
  }

  /** `beforeImport` is called each time that the image has to be imported. Throws the signal's reason. */
  async settle(wanted: WantedImage, beforeImport: () => Promise<void>): Promise<ImageOutcome> {
    let learned: Learned = {};
    for (;;) {
      this.#options.signal.throwIfAborted();
      const images = await this.#options.library.list();
      const found = chooseImage(
        images.filter(({ forUrl }) => forUrl?.key === wanted.key),
        wanted,
      );
      const step = decideImage(this.#factsOf(wanted, found, learned));
      if (step.kind === 'ask') {
        learned = { ...learned, answer: { of: versionOf(found), upstream: await this.#ask(wanted, found) } };
      } else if (step.kind === 'import') {
        await beforeImport();
        learned = { ...learned, ...(await this.#import(wanted)) };
        if (learned.made !== undefined) return { kind: 'library', digest: learned.made };
      } else {
        return step;
      }
    }
  }

  #factsOf(wanted: WantedImage, image: LibraryImage | undefined, { added, failure, answer }: Learned): ImageFacts {
    return {
      mode: this.#options.mode,
      wanted,
      isNew: image !== undefined && image.digest === added,
      ...(image !== undefined && { image }),
      ...(failure !== undefined && { failure }),
      // An answer about another image than the one that is there now says nothing.
      ...(answer?.of === versionOf(image) && { upstream: answer.upstream }),
    };
  }

  async #import(wanted: WantedImage): Promise<Learned> {
    // A server that stops waits for nothing; its jobs end after this, which is no failure of theirs.
    const { job, isSame } = await Promise.race([this.#options.imports.import(wanted), this.#stopped.promise]);
    this.#options.signal.throwIfAborted();
    const digest = job.image?.digest;
    // Another order's failure may lie in its own sums or proxy.
    if (!isSame) return digest === undefined ? {} : { added: digest };
    if (digest !== undefined) return { made: digest };
    return { failure: job.error ?? { code: 'internal', message: `its import is ${job.state}` } };
  }

  /** Once for all who want to know at the same time. */
  async #ask(wanted: WantedImage, image: LibraryImage | undefined): Promise<UpstreamAnswer> {
    const key = `${wanted.url.href} ${versionOf(image)}`;
    const proxy = oneProxy(proxyOf(wanted, this.#options.proxy)?.href);
    const asking =
      this.#asking.get(key) ??
      askUpstream(wanted.url, image ?? {}, { proxy, signal: this.#options.signal }).finally(() =>
        this.#asking.delete(key),
      );
    this.#asking.set(key, asking);
    return asking;
  }
}

/** Another import of the same URL may give the same image with another validator. */
function versionOf(image: LibraryImage | undefined): string {
  return image === undefined ? '' : `${image.digest} ${image.addedAt.getTime()}`;
}
