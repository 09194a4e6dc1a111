import { defineRoute } from './route.ts';
import { versionSchema } from './types.ts';

export const versionRoute = defineRoute({
  method: 'GET',
  path: '/version',
  summary: 'Says which version of Tinsmith answers.',
  response: versionSchema,
  async handle(_input, { version }) {
    return { version, node: process.versions.node };
  },
});
