import type { Logger } from 'pino';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import type { Config } from '../config.ts';
import type { Store } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import { whyReadOnly } from './cannot-write.ts';
import type { FirstUseMode } from './first-use/decide-image.ts';
import { type ImagesOnFirstUse, imagesOnFirstUse } from './first-use/images-on-first-use.ts';
import { type ImageJobs, imageJobs } from './image-jobs.ts';
import { type ImageLibrary, openImageLibrary } from './image-library.ts';
import { usersOf } from './image-use.ts';
import { lockLibrary } from './library-lock.ts';
import { siteAuthorities } from './site-authorities.ts';

/** The library and what works on it. */
export interface Images {
  readonly library: ImageLibrary;
  readonly jobs: ImageJobs;
  /** Absent: images of other servers are the machines' own business. */
  readonly firstUse: ImagesOnFirstUse | undefined;
  /** That the site's own servers are known by; PEM. */
  readonly authorities: string | undefined;
}

export interface ImagesOptions {
  readonly config: Config;
  readonly folder: string;
  readonly store: Store;
  readonly transitions: Transitions;
  readonly clock: () => Date;
  readonly log: Logger;
  /** Of the machine-facing HTTP listener. */
  readonly address: string;
}

/** What it starts is ended with `stack`. Throws `invalid_input`, and `conflict` while another server has the library. */
export async function openImages(options: ImagesOptions, stack: AsyncDisposableStack): Promise<Images> {
  const { config, folder, store, transitions, clock, log, address } = options;
  const mode = firstUseMode(config['library.import']);
  const proxy = config['library.proxy'] !== '' && { proxy: config['library.proxy'] };
  const authorities = await siteAuthorities(config['tls.ca']);
  const { whyOpen } = stack.use(await lockLibrary(folder));
  if (whyOpen !== undefined) log.warn({ folder, reason: whyOpen }, 'library.notLocked');
  const library = await openImageLibrary({ folder, store, clock });
  const reason = await whyReadOnly(library.scratch);
  if (reason !== undefined) log.warn({ folder, reason }, 'library.readOnly');
  const jobs = stack.use(
    imageJobs({
      library,
      clock,
      ...proxy,
      async onAdded({ name, digest, imageBytes, source, warning }, { actor = 'operator' }) {
        if (warning !== undefined) log.warn({ image: name, source, warning }, 'image.doubtful');
        const facts = { image: name, digest, imageBytes, source, ...(warning !== undefined && { warning }) };
        // It is there and can be used: a database whose disk is full takes nothing from that.
        await transitions
          .noteImage('image.added', facts, { actor })
          .catch((thrown: unknown) => log.warn({ image: name, reason: messageOf(thrown) }, 'image.eventLost'));
      },
      async onFailed({ message }, { name }) {
        log.warn({ image: name, error: message }, 'an image was not imported');
        const noted = transitions.noteImage('image.failed', { image: name, error: message }, { actor: 'operator' });
        await noted.catch((cause: unknown) => log.warn(cause, 'that could not be noted'));
      },
      usersOf: (name, digest) => usersOf(name, digest, store),
    }),
  );
  if (mode === 'off') return { library, jobs, firstUse: undefined, authorities };
  const own = new URL(`http://${address}:${config['http.port']}`).host;
  const isOwn = (url: URL): boolean => url.protocol === 'http:' && url.host === own;
  const firstUse = imagesOnFirstUse({ mode, store, transitions, library, jobs, clock, log, isOwn, ...proxy });
  return { library, jobs, firstUse: stack.use(firstUse), authorities };
}

function firstUseMode(mode: string): FirstUseMode | 'off' {
  if (mode === 'off' || mode === 'on' || mode === 'only') return mode;
  throw new TinsmithError('invalid_input', `--library-import is ${JSON.stringify(mode)}: use off, on or only`);
}
