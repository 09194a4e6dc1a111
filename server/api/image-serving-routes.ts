import {
  changeMirrorsRequestSchema,
  type ImageServing,
  type ImageServingView,
  imageServingSchema,
  mirrorsSchema,
} from './image-types.ts';
import { type ApiDeps, defineRoute } from './route.ts';
import { nameParamsSchema } from './types.ts';

/** Where images come from besides the server, and who fetches them. */
export const imageServingRoutes = [
  defineRoute({
    method: 'GET',
    path: '/image-serving',
    summary: 'Shows which machines fetch images now, and which wait for their turn.',
    response: imageServingSchema,
    handle: (_input, { images, store }) => servingView(images.serving(), store),
  }),
  defineRoute({
    method: 'GET',
    path: '/images/:name/mirrors',
    summary: 'Lists the mirrors of an image, best first.',
    params: nameParamsSchema,
    response: mirrorsSchema,
    async handle({ params }, { images }) {
      return { items: await images.library.mirrors.of(params.name) };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/images/:name/mirrors',
    summary: 'Takes mirrors off an image’s list and puts others at its end.',
    params: nameParamsSchema,
    body: changeMirrorsRequestSchema,
    response: mirrorsSchema,
    // Twice is harmless: what is there, or is not, already stays so.
    async handle({ params, body }, { images }) {
      const { add = [], remove = [] } = body;
      return { items: await images.library.mirrors.change(params.name, { add, remove }) };
    },
  }),
];

async function servingView({ machines, ...limits }: ImageServing, store: ApiDeps['store']): Promise<ImageServingView> {
  const named = machines.map(async ({ since, ...machine }) => {
    const hardware = await store.hardwareByAddress(machine.address);
    return { ...machine, since: since.toISOString(), ...(hardware && { hardware: hardware.name }) };
  });
  return { ...limits, machines: await Promise.all(named) };
}
