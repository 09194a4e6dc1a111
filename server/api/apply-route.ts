import { applyManifests } from './apply-manifests.ts';
import { defineRoute } from './route.ts';
import { applyRequestSchema, applyResponseSchema } from './types.ts';

export const applyRoute = defineRoute({
  method: 'POST',
  path: '/apply',
  summary: 'Creates or changes everything that the given manifest files name, or nothing.',
  body: applyRequestSchema,
  response: applyResponseSchema,
  // Twice is harmless: what is there already and equal is `unchanged` and makes no event.
  async handle({ body, cause }, { store, transitions, actionTimeoutMs, actionImages, images }) {
    const parts = { store, transitions, actionTimeoutMs, images, cause };
    return applyManifests(body, { ...parts, ...(actionImages && { actionImages }) });
  },
});
