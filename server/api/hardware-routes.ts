import { TinsmithError } from '#proto/errors.ts';
import { checkRelease, releaseHardware } from '../cluster/cluster-verbs.ts';
import type { Hardware, Store } from '../store/store.ts';
import { parseLabels } from './labels.ts';
import { redactObject } from './redact.ts';
import { foreseeRelease, releaseView } from './release-view.ts';
import { defineRoute } from './route.ts';
import {
  deletedSchema,
  type HardwareView,
  hardwareSchema,
  labelQuerySchema,
  listSchema,
  nameParamsSchema,
  netbootRequestSchema,
  releaseAnswerSchema,
  releaseRequestSchema,
} from './types.ts';

export const hardwareRoutes = [
  defineRoute({
    method: 'GET',
    path: '/hardware',
    summary: 'Lists Hardware, sorted by name.',
    query: labelQuerySchema,
    response: listSchema(hardwareSchema),
    async handle({ query }, { store }) {
      const found = await store.listHardware({ labels: parseLabels(query.label) });
      return { items: found.map(hardwareView) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/hardware/:name',
    summary: 'Shows one Hardware with its stage and inventory.',
    params: nameParamsSchema,
    response: hardwareSchema,
    async handle({ params }, { store }) {
      return hardwareView(await knownHardware(store, params.name));
    },
  }),
  defineRoute({
    method: 'PUT',
    path: '/hardware/:name/netboot',
    summary: 'Switches network boot on or off for a machine.',
    params: nameParamsSchema,
    body: netbootRequestSchema,
    response: hardwareSchema,
    // Twice is harmless: the second time it is so already.
    async handle({ params, body, cause }, { store, transitions }) {
      await transitions.setNetboot(params.name, body.netboot, cause);
      return hardwareView(await knownHardware(store, params.name));
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/hardware/:name/release',
    summary:
      'Takes a machine out of service and its cluster: user data dropped, wiped, switched off; or tells so (`dryRun`).',
    params: nameParamsSchema,
    body: releaseRequestSchema,
    response: releaseAnswerSchema,
    // Twice is harmless: it leaves already, or its wipe is under way.
    async handle({ params, body, cause }, { store, transitions, clock }) {
      const release = { name: params.name, wipe: body.wipe ?? true };
      await checkRelease(store, release.name);
      const foreseen = await foreseeRelease(store, release);
      if (body.dryRun === true) return { isReleased: false, ...foreseen };
      await releaseHardware({ store, transitions }, release, cause);
      return { ...(await releaseView(store, release, clock())), steps: foreseen.steps };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/hardware/:name/release',
    summary: 'How far the release of a machine is.',
    params: nameParamsSchema,
    response: releaseAnswerSchema,
    async handle({ params }, { store, clock }) {
      return releaseView(store, { name: params.name, wipe: true }, clock());
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/hardware/:name',
    summary: 'Deletes a Hardware that has no unfinished workflow.',
    params: nameParamsSchema,
    response: deletedSchema,
    // Twice is harmless: the second time it is not found.
    async handle({ params, cause }, { transitions }) {
      await transitions.deleteHardware(params.name, cause);
      return { kind: 'Hardware', name: params.name };
    },
  }),
];

async function knownHardware(store: Store, name: string): Promise<Hardware> {
  const hardware = await store.hardware(name);
  if (hardware === undefined) throw new TinsmithError('not_found', `there is no Hardware "${name}"`);
  return hardware;
}

/** User data and vendor data never leave the server this way; other secrets of the free-form parts are replaced. */
function hardwareView(hardware: Hardware): HardwareView {
  const { userData: _, ...spec } = hardware.spec;
  return {
    name: hardware.name,
    labels: hardware.labels,
    annotations: hardware.annotations,
    spec: redactObject(spec),
    stage: hardware.stage,
    stageAt: hardware.stageAt.toISOString(),
    netboot: hardware.netboot,
    hasUserData: hardware.hasUserData,
    readyBy: hardware.readyBy ?? 'metadata',
    userDataPolicy: hardware.userDataPolicy ?? 'keep',
    ...(hardware.userDataFetchedAt && { userDataFetchedAt: hardware.userDataFetchedAt.toISOString() }),
    ...(hardware.userDataWithheldAt && { userDataWithheldAt: hardware.userDataWithheldAt.toISOString() }),
    ...(hardware.phonedHomeAt && { phonedHomeAt: hardware.phonedHomeAt.toISOString() }),
    ...(hardware.bootstrapFailure !== undefined && { bootstrapFailure: hardware.bootstrapFailure }),
    ...(hardware.readyAt && { readyAt: hardware.readyAt.toISOString() }),
    ...(hardware.lastSeenAt && { lastSeenAt: hardware.lastSeenAt.toISOString() }),
    ...(hardware.failure !== undefined && { failure: hardware.failure }),
    ...(hardware.claim && { claim: hardware.claim }),
    ...(hardware.inventory && { inventory: hardware.inventory }),
    version: hardware.version,
    createdAt: hardware.createdAt.toISOString(),
  };
}
