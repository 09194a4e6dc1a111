import { Type } from 'typebox';
import { messageOf, TinsmithError } from '#proto/errors.ts';
import { pinnedUrl, requireOwnName } from '../library/for-url.ts';
import type { ImageJob } from '../library/image-jobs.ts';
import type { LibraryImage } from '../library/image-library.ts';
import { requireUsableUrls } from '../library/image-source.ts';
import { digestsInUse, requireFreeUrl, requireUnused } from '../library/image-use.ts';
import { type DamagedName, damagedSentence } from '../library/name-files.ts';
import {
  addImageRequestSchema,
  collectedSchema,
  type ImageJobView,
  type ImageListView,
  type ImageView,
  imageJobSchema,
  imageListSchema,
  imageSchema,
  removeImageQuerySchema,
} from './image-types.ts';
import { defineRoute } from './route.ts';
import { deletedSchema, nameParamsSchema } from './types.ts';

/** A good middle: level 19 takes ten times as long and saves a tenth. */
const LEVEL = 9;
const jobParamsSchema = Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) });

export const imageRoutes = [
  defineRoute({
    method: 'GET',
    path: '/images',
    summary:
      'Lists the images of the library, sorted by name, and the imports that run, failed or wait for their turn.',
    response: imageListSchema,
    async handle(_input, { images }) {
      const damaged = await images.library.damaged();
      const items = (await images.library.list()).map((image) => imageView(image, damaged));
      const waiting = (images.firstUse?.waitingImports() ?? []).map(({ since, ...each }) => {
        return { ...each, since: since.toISOString() };
      });
      const { jobs } = images;
      const imports = jobs.imports().map((job): ImageJobView => {
        const workflows = images.firstUse?.waitingForJob(job.id);
        return { ...jobView(job), ...(workflows && { workflows: [...workflows] }) };
      });
      const failed = jobs.failures().map(jobView);
      return { items, imports, failed, damaged: damaged.map(damagedView), waiting };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/images/:name',
    summary: 'Shows one image of the library.',
    params: nameParamsSchema,
    response: imageSchema,
    async handle({ params }, { images }) {
      return imageView(await images.library.show(params.name), await images.library.damaged());
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/images',
    summary: 'Starts to import an image.',
    body: addImageRequestSchema,
    response: imageJobSchema,
    // Twice is harmless: the same order gives the job that runs, or imports the same bytes again, which changes nothing.
    async handle({ body }, { images }) {
      const { forUrl: url, ...order } = body;
      requireOwnName(order.name);
      requireUsableUrls(order.source, order.checksums, order.signature);
      const forUrl = url === undefined ? undefined : pinnedUrl(url);
      if (forUrl !== undefined) await requireFreeUrl(order.name, forUrl, images.library);
      return jobView(images.jobs.add({ level: LEVEL, ...order, ...(forUrl && { forUrl }) }));
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/images/:name/verify',
    summary: 'Starts to read an image again and to compare it with its index.',
    params: nameParamsSchema,
    response: imageJobSchema,
    async handle({ params }, { images }) {
      return jobView(await images.jobs.verify(params.name));
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/images/:name',
    summary: 'Takes an image out of the library; its bytes go with the next collection.',
    params: nameParamsSchema,
    query: removeImageQuerySchema,
    response: deletedSchema,
    // Twice is harmless: the second time it is not found.
    async handle({ params, query, cause }, { images, store, transitions, log }) {
      const image = await images.library.named(params.name);
      if (query.force !== true) await requireUnused(image, store, images.firstUse);
      await images.library.remove(params.name);
      // It is gone, and on a full disk that is the way out: the event is lost, the removal is not.
      await transitions
        .noteImage('image.removed', { image: params.name }, cause)
        .catch((thrown: unknown) => log.warn({ image: params.name, reason: messageOf(thrown) }, 'image.eventLost'));
      return { kind: 'Image', name: params.name };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/images/collect',
    summary: 'Deletes the bytes of images that no name stands for and no unfinished workflow was promised or given.',
    response: collectedSchema,
    async handle(_input, { images, store }) {
      return images.library.gc(() => digestsInUse(store, images.firstUse));
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/image-jobs/:id',
    summary: 'Shows how far an import or a verification is.',
    params: jobParamsSchema,
    response: imageJobSchema,
    async handle({ params }, { images }) {
      return jobView(known(images.jobs.job(params.id)));
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/image-jobs/:id',
    summary: 'Cancels an import, also one that waits for its turn, or a verification; nothing of the import stays.',
    params: jobParamsSchema,
    response: imageJobSchema,
    // Twice is harmless: it ends once.
    async handle({ params }, { images }) {
      return jobView(known(images.jobs.cancel(params.id) ?? images.firstUse?.cancelWaiting(params.id)));
    },
  }),
];

function known(job: ImageJob | undefined): ImageJob {
  if (job !== undefined) return job;
  throw new TinsmithError('not_found', 'there is no such job: the server was started anew, so begin it again');
}

function imageView(image: LibraryImage, damaged: readonly DamagedName[] = []): ImageView {
  const { addedAt, forUrl, validator: _, sourceBytes: _bytes, damage: _kept, ...shown } = image;
  const wrong = damaged.find(({ name }) => name === image.name);
  return {
    ...shown,
    addedAt: addedAt.toISOString(),
    ...(forUrl && { forUrl: forUrl.shown }),
    ...(wrong && { damage: damagedSentence(wrong) }),
  };
}

function damagedView(damaged: DamagedName): ImageListView['damaged'][number] {
  const { name, file } = damaged;
  return { name, file, reason: damagedSentence(damaged) };
}

function jobView({ startedAt, finishedAt, image, error, replaced, ...job }: ImageJob): ImageJobView {
  return {
    ...job,
    startedAt: startedAt.toISOString(),
    ...(finishedAt && { finishedAt: finishedAt.toISOString() }),
    ...(image && { image: imageView(image) }),
    ...(replaced && {
      replaced: { ...replaced, workflows: [...replaced.workflows], keeping: [...replaced.keeping] },
    }),
    ...(error && { error: { code: error.code, message: error.message } }),
  };
}
