/**
 * Every request and response of the admin API: JSON Schemas (TypeBox) and the types made from them; those of clusters and images are in
 * cluster-types.ts and image-types.ts. The CLI and the web page import nothing else of the server (types only). Dates are ISO 8601
 * strings in UTC, sizes are bytes.
 */
import { type TSchema, Type } from 'typebox';
import type { ErrorCode } from '#proto/errors.ts';
import type { Inventory } from '#proto/inventory.ts';
import { type ActionState, actionLife } from '../life/action-life.ts';
import type { Actor, EventName } from '../life/events.ts';
import { type MachineStage, machineLife } from '../life/machine-life.ts';
import { type WorkflowState, workflowLife } from '../life/workflow-life.ts';
import type { JsonObject } from '../manifests/hardware-kind.ts';
import type { ReadyBy, UserDataPolicy } from '../store/schema.ts';
import { importWaitSchema } from './image-types.ts';
import { closed, date, dryRun, failureSchema, manifestFilesSchema, problemSchema, type View } from './schema-parts.ts';

const names = Type.Unsafe<Readonly<Record<string, string>>>({
  type: 'object',
  additionalProperties: { type: 'string' },
});
const anyObject = Type.Unsafe<JsonObject>({ type: 'object', additionalProperties: true });

/** Body of every answer that is not 2xx. */
export const errorBodySchema = Type.Object({
  error: Type.Object({
    code: Type.Unsafe<ErrorCode>({ type: 'string' }),
    message: Type.String(),
    problems: Type.Array(problemSchema),
  }),
});
export type ErrorBody = View<typeof errorBodySchema>;

export const hardwareSchema = Type.Object({
  name: Type.String(),
  labels: names,
  annotations: names,
  spec: anyObject,
  stage: Type.Unsafe<MachineStage>({ type: 'string', enum: machineLife.states }),
  stageAt: date,
  netboot: Type.Boolean({ description: 'Whether the machine is given the boot environment on its next network boot' }),
  hasUserData: Type.Boolean({ description: 'User data is never returned' }),
  readyAt: Type.Optional(date),
  readyBy: Type.Unsafe<ReadyBy>({
    type: 'string',
    enum: ['metadata', 'phoneHome', 'installed'],
    description: 'What makes the installed system count as ready',
  }),
  userDataPolicy: Type.Unsafe<UserDataPolicy>({
    type: 'string',
    enum: ['keep', 'untilReady'],
    description: '`untilReady`: not given out any more once the installed system has fetched it and is ready',
  }),
  userDataFetchedAt: Type.Optional(date),
  userDataWithheldAt: Type.Optional(date),
  phonedHomeAt: Type.Optional(date),
  bootstrapFailure: Type.Optional(Type.String()),
  lastSeenAt: Type.Optional(date),
  failure: Type.Optional(Type.String()),
  claim: Type.Optional(Type.Object({ cluster: Type.String(), group: Type.String() })),
  inventory: Type.Optional(Type.Unsafe<Inventory>({ type: 'object', additionalProperties: true })),
  version: Type.Integer(),
  createdAt: date,
});
export type HardwareView = View<typeof hardwareSchema>;

export const templateSchema = Type.Object({
  name: Type.String(),
  labels: names,
  annotations: names,
  source: Type.Unsafe<'Template' | 'TinkerbellTemplateConfig'>({ type: 'string' }),
  data: Type.String({ description: 'The Go template as it was applied' }),
  version: Type.Integer(),
  createdAt: date,
});
export type TemplateView = View<typeof templateSchema>;

export const progressSchema = Type.Object({
  done: Type.Number(),
  total: Type.Optional(Type.Number()),
  perSecond: Type.Number(),
  unit: Type.String({ description: '`bytes` unless said otherwise' }),
  idleMs: Type.Optional(Type.Number({ description: 'How long nothing was done any more; absent: it gets on' })),
  trouble: Type.Optional(Type.String({ description: 'Why nothing is done, where that is known' })),
  waitsFor: Type.Optional(Type.String({ description: 'What it waits for instead, which is no trouble' })),
  waitedMs: Type.Optional(
    Type.Number({ description: 'How long it only waited for its turn: no time-out of the action counts it' }),
  ),
});
export type ProgressView = View<typeof progressSchema>;

export const actionRunSchema = Type.Object({
  attempt: Type.Integer(),
  task: Type.Integer(),
  action: Type.Integer(),
  taskName: Type.String(),
  name: Type.String(),
  image: Type.String(),
  state: Type.Unsafe<ActionState>({ type: 'string', enum: actionLife.states }),
  startedAt: Type.Optional(date),
  finishedAt: Type.Optional(date),
  exitCode: Type.Optional(Type.Integer()),
  tries: Type.Optional(Type.Integer()),
  error: Type.Optional(failureSchema),
  progress: Type.Optional(progressSchema),
});
export type ActionRunView = View<typeof actionRunSchema>;

export const renderedTaskSchema = Type.Object({
  name: Type.String(),
  worker: Type.String(),
  actions: Type.Array(
    Type.Object({
      name: Type.String(),
      image: Type.String(),
      timeoutMs: Type.Number(),
      retries: Type.Integer(),
      command: Type.Array(Type.String()),
      environment: Type.Unsafe<Readonly<Record<string, string>>>({
        type: 'object',
        additionalProperties: { type: 'string' },
        description: 'Values that may be secret are replaced',
      }),
    }),
  ),
});
export type RenderedTaskView = View<typeof renderedTaskSchema>;

export const workflowSchema = Type.Object({
  name: Type.String(),
  labels: names,
  annotations: names,
  spec: anyObject,
  state: Type.Unsafe<WorkflowState>({ type: 'string', enum: workflowLife.states }),
  stateAt: date,
  hardware: Type.Array(Type.String()),
  attempt: Type.Integer({ description: '1 from the first run; grows with every attempt and retry' }),
  attemptsOfRun: Type.Integer(),
  task: Type.Integer({ description: 'Index of the task that runs or waits' }),
  startedAt: Type.Optional(date),
  finishedAt: Type.Optional(date),
  error: Type.Optional(failureSchema),
  actions: Type.Array(actionRunSchema, { description: 'Of the newest attempt' }),
  imports: Type.Optional(
    Type.Array(importWaitSchema, { description: 'Imports that its task waits for before an agent gets it' }),
  ),
  missingImages: Type.Optional(
    Type.Array(Type.String(), {
      description:
        'Names, or `sha256-<digest>`, of library images that an unfinished or failed workflow names and that are not there',
    }),
  ),
  nearestImages: Type.Optional(
    Type.Record(Type.String(), Type.String(), {
      description: 'For names of `missingImages` that may be misspelt: the library’s name that may be meant',
    }),
  ),
  tasks: Type.Optional(Type.Array(renderedTaskSchema, { description: 'Only where one workflow is asked for' })),
  version: Type.Integer(),
  createdAt: date,
});
export type WorkflowView = View<typeof workflowSchema>;

export const releaseRequestSchema = Type.Object({ wipe: Type.Optional(Type.Boolean()), dryRun }, closed);
export const releaseAnswerSchema = Type.Object({
  isReleased: Type.Boolean(),
  steps: Type.Array(Type.String(), { description: 'What is done, in order; only when it is asked for' }),
  wipes: Type.Optional(Type.Boolean({ description: 'Whether its disks are erased; only when it is asked for' })),
  waits: Type.Optional(Type.String({ description: 'What keeps it from going on' })),
});
export type ReleaseAnswer = View<typeof releaseAnswerSchema>;

export const logLineSchema = Type.Object({
  id: Type.Integer(),
  attempt: Type.Integer(),
  task: Type.Integer(),
  action: Type.Integer(),
  at: date,
  stream: Type.String({ description: '`stdout`, `stderr` or `agent`' }),
  text: Type.String(),
});
export type LogLineView = View<typeof logLineSchema>;

export const eventSchema = Type.Object({
  id: Type.Integer({ description: 'Ascending; 0: live only, not stored' }),
  at: date,
  name: Type.Unsafe<EventName>({ type: 'string' }),
  hardware: Type.Optional(Type.String()),
  workflow: Type.Optional(Type.String()),
  actor: Type.Unsafe<Actor>({ type: 'string' }),
  from: Type.Optional(Type.String()),
  data: anyObject,
});
export type EventView = View<typeof eventSchema>;

export const applyRequestSchema = Type.Object(
  {
    files: manifestFilesSchema,
    dryRun: Type.Optional(Type.Boolean({ description: 'Checks everything and changes nothing' })),
  },
  closed,
);
export type ApplyRequest = View<typeof applyRequestSchema>;

export const applyResponseSchema = Type.Object({
  dryRun: Type.Boolean(),
  records: Type.Array(
    Type.Object({
      kind: Type.Unsafe<'Hardware' | 'Template' | 'Workflow'>({ type: 'string' }),
      name: Type.String(),
      outcome: Type.Unsafe<'created' | 'configured' | 'unchanged'>({ type: 'string' }),
    }),
  ),
  warnings: Type.Array(problemSchema),
});
export type ApplyResponse = View<typeof applyResponseSchema>;

export const netbootRequestSchema = Type.Object({ netboot: Type.Boolean() }, closed);
export const cancelRequestSchema = Type.Object({ reason: Type.Optional(Type.String({ maxLength: 1000 })) }, closed);

export const deletedSchema = Type.Object({ kind: Type.String(), name: Type.String() });
export type DeletedView = View<typeof deletedSchema>;

export const versionSchema = Type.Object({
  version: Type.String(),
  node: Type.String({ description: 'Version of the runtime that the server runs on' }),
});
export type VersionView = View<typeof versionSchema>;

/** Every list answers an object, so that fields can be added beside the items. */
export interface ListOf<Item> {
  readonly items: readonly Item[];
}

/** Schema of a list of `item`. */
export function listSchema<Item extends TSchema>(item: Item) {
  return Type.Object({ items: Type.Array(item) });
}

export const nameParamsSchema = Type.Object({ name: Type.String({ minLength: 1, maxLength: 253 }) });

const labels = Type.Optional(
  Type.Array(Type.String({ pattern: '^[^=]+=.*$' }), { description: '`key=value`; repeat it: all must match' }),
);
const count = (maximum: number) => Type.Optional(Type.Integer({ minimum: 1, maximum }));
const position = Type.Optional(Type.Integer({ minimum: 0, description: 'Only those with a greater id' }));

export const labelQuerySchema = Type.Object({ label: labels }, closed);
export const workflowQuerySchema = Type.Object(
  {
    label: labels,
    hardware: Type.Optional(Type.String()),
    state: Type.Optional(Type.Array(Type.Unsafe<WorkflowState>({ type: 'string', enum: workflowLife.states }))),
  },
  closed,
);
export const logQuerySchema = Type.Object(
  { after: position, attempt: Type.Optional(Type.Integer({ minimum: 1 })), limit: count(10_000) },
  closed,
);
export const eventQuerySchema = Type.Object(
  {
    after: position,
    hardware: Type.Optional(Type.String()),
    workflow: Type.Optional(Type.String()),
    name: Type.Optional(Type.Array(Type.Unsafe<EventName>({ type: 'string' }))),
    limit: count(10_000),
    tail: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, description: 'The newest so many; not with `limit`' }),
    ),
  },
  closed,
);
