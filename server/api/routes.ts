import { applyRoute } from './apply-route.ts';
import { clusterPlanRoute } from './cluster-plan-route.ts';
import { clusterRoutes } from './cluster-routes.ts';
import { eventRoutes, eventStream } from './event-routes.ts';
import { hardwareRoutes } from './hardware-routes.ts';
import { imageRoutes } from './image-routes.ts';
import { imageServingRoutes } from './image-serving-routes.ts';
import type { Route, StreamRoute } from './route.ts';
import { templateRoutes } from './template-routes.ts';
import { versionRoute } from './version-route.ts';
import { logStream, workflowRoutes } from './workflow-routes.ts';

/** Everything below `/api/v1`. */
export const ROUTES: readonly Route[] = [
  ...hardwareRoutes,
  ...templateRoutes,
  ...workflowRoutes,
  ...clusterRoutes,
  clusterPlanRoute,
  ...eventRoutes,
  ...imageRoutes,
  ...imageServingRoutes,
  applyRoute,
  versionRoute,
];

export const STREAMS: readonly StreamRoute[] = [eventStream, logStream];
