import { TinsmithError } from '#proto/errors.ts';
import { withoutUrlSecrets } from '#proto/url-secrets.ts';
import type { Template } from '../store/store.ts';
import { hasLabels, parseLabels } from './labels.ts';
import { defineRoute } from './route.ts';
import {
  deletedSchema,
  labelQuerySchema,
  listSchema,
  nameParamsSchema,
  type TemplateView,
  templateSchema,
} from './types.ts';

export const templateRoutes = [
  defineRoute({
    method: 'GET',
    path: '/templates',
    summary: 'Lists Templates.',
    query: labelQuerySchema,
    response: listSchema(templateSchema),
    async handle({ query }, { store }) {
      const wanted = parseLabels(query.label);
      const found = await store.listTemplates();
      return { items: found.filter((template) => hasLabels(template, wanted)).map(templateView) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/templates/:name',
    summary: 'Shows one Template with its text.',
    params: nameParamsSchema,
    response: templateSchema,
    async handle({ params }, { store }) {
      const template = await store.template(params.name);
      if (template === undefined) throw new TinsmithError('not_found', `there is no Template "${params.name}"`);
      return templateView(template);
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/templates/:name',
    summary: 'Deletes a Template; workflows made from it keep what they were rendered to.',
    params: nameParamsSchema,
    response: deletedSchema,
    // Twice is harmless: the second time it is not found.
    async handle({ params, cause }, { transitions }) {
      await transitions.deleteTemplate(params.name, cause);
      return { kind: 'Template', name: params.name };
    },
  }),
];

function templateView(template: Template): TemplateView {
  const { name, labels, annotations, source, data, version, createdAt } = template;
  const text = withoutUrlSecrets(data);
  return { name, labels, annotations, source, data: text, version, createdAt: createdAt.toISOString() };
}
