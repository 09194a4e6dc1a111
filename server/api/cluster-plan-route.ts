import { planRequest } from '../cluster/plan-request.ts';
import { redactEnvironment } from './redact.ts';
import { defineRoute } from './route.ts';
import { clusterPlanRequestSchema, clusterPlanSchema } from './types.ts';

export const clusterPlanRoute = defineRoute({
  method: 'POST',
  path: '/clusters/plan',
  summary: 'Tells what would be done for the cluster of these files, machine by machine; changes nothing.',
  body: clusterPlanRequestSchema,
  response: clusterPlanSchema,
  async handle({ body, signal }, { store, clock, actionTimeoutMs, planHost }) {
    const parts = { store, clock, actionTimeoutMs, host: planHost, redact: redactEnvironment };
    return planRequest(body, parts, signal);
  },
});
