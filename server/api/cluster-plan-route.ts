import { type PlanParts, planRequest } from '../cluster/plan-request.ts';
import { libraryNames } from '../library/image-use.ts';
import { clusterPlanRequestSchema, clusterPlanSchema } from './cluster-types.ts';
import { imageWarnings } from './image-warnings.ts';
import { redactEnvironment } from './redact.ts';
import { type ApiDeps, defineRoute } from './route.ts';

export const clusterPlanRoute = defineRoute({
  method: 'POST',
  path: '/clusters/plan',
  summary: 'Tells what would be done for the cluster of these files, machine by machine; changes nothing.',
  body: clusterPlanRequestSchema,
  response: clusterPlanSchema,
  async handle({ body, signal }, deps) {
    return planRequest(body, planParts(deps), signal);
  },
});

/** What plans are made from. */
export function planParts({ store, clock, actionTimeoutMs, actionImages, planHost, images }: ApiDeps): PlanParts {
  const site = { actionTimeoutMs, ...(actionImages && { actionImages }) };
  const warnings: PlanParts['imageWarnings'] = (nodes) =>
    imageWarnings(
      nodes.map((node) => ({ who: `machine ${node.machine}`, at: node.at, names: libraryNames([node]) })),
      images,
    );
  return { store, clock, ...site, host: planHost, redact: redactEnvironment, imageWarnings: warnings };
}
