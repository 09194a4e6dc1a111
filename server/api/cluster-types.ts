/** Requests and responses about clusters, as types.ts has them for the rest. */
import { Type } from 'typebox';
import type { ClusterOptions } from '../cluster/cluster-options.ts';
import type { ClusterPlan } from '../cluster/cluster-plan.ts';
import { type ClusterState, clusterLife } from '../life/cluster-life.ts';
import { type MachineStage, machineLife } from '../life/machine-life.ts';
import { type NodeState, nodeLife } from '../life/node-life.ts';
import { type WorkflowState, workflowLife } from '../life/workflow-life.ts';
import { closed, date, dryRun, manifestFilesSchema, problemSchema, type View } from './schema-parts.ts';
import { actionRunSchema } from './types.ts';

const roleSchema = Type.Unsafe<'controlPlane' | 'worker'>({ type: 'string', enum: ['controlPlane', 'worker'] });

export const nodeSchema = Type.Object({
  hardware: Type.String({ description: 'Name of the machine and of the node' }),
  group: Type.String({ description: '`control-plane` or the name of a worker group' }),
  role: roleSchema,
  state: Type.Unsafe<NodeState>({ type: 'string', enum: nodeLife.states }),
  stateAt: date,
  stage: Type.Unsafe<MachineStage>({ type: 'string', enum: machineLife.states }),
  mac: Type.Optional(Type.String({ description: 'Of the interface that it boots from' })),
  address: Type.Optional(Type.String()),
  tries: Type.Integer(),
  initialises: Type.Boolean({ description: 'It makes the control plane; the others join it' }),
  isCurrent: Type.Boolean({ description: 'It is made from what the cluster is to be made from now' }),
  revision: Type.String(),
  failure: Type.Optional(Type.String()),
  waits: Type.Optional(
    Type.Object({ text: Type.String(), forOperator: Type.Boolean({ description: 'Somebody has to do it' }) }),
  ),
  workflow: Type.Optional(
    Type.Object({
      name: Type.String(),
      state: Type.Unsafe<WorkflowState>({ type: 'string', enum: workflowLife.states }),
      attempt: Type.Integer(),
      actions: Type.Integer(),
      done: Type.Integer(),
      current: Type.Optional(actionRunSchema),
    }),
  ),
});
export type NodeView = View<typeof nodeSchema>;

const clusterOptionsSchema = Type.Unsafe<ClusterOptions>({ type: 'object', additionalProperties: true });

export const clusterSchema = Type.Object({
  name: Type.String(),
  state: Type.Unsafe<ClusterState>({ type: 'string', enum: clusterLife.states }),
  stateAt: date,
  failure: Type.Optional(Type.String({ description: 'Why it is blocked' })),
  kubernetesVersion: Type.String(),
  endpoint: Type.String(),
  bootstrapper: Type.String(),
  options: clusterOptionsSchema,
  groups: Type.Array(
    Type.Object({
      name: Type.String(),
      role: roleSchema,
      count: Type.Integer(),
      ready: Type.Integer(),
      kubernetesVersion: Type.String(),
    }),
  ),
  nodes: Type.Array(nodeSchema, { description: 'Control plane first' }),
  version: Type.Integer(),
  createdAt: date,
});
export type ClusterView = View<typeof clusterSchema>;

/** What of ClusterOptions a request may change. */
const clusterOptionsRequestSchema = Type.Optional(
  Type.Object(
    {
      retries: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
      onFailure: Type.Optional(Type.Unsafe<'spare' | 'stop'>({ type: 'string', enum: ['spare', 'stop'] })),
      parallel: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000 })),
      skipDrain: Type.Optional(Type.Boolean({ description: 'For this change only' })),
      wipe: Type.Optional(Type.Boolean()),
      loseState: Type.Optional(Type.Boolean({ description: 'For this change only' })),
    },
    closed,
  ),
);
export type ClusterOptionsRequest = NonNullable<View<typeof clusterOptionsRequestSchema>>;

const skipIpCheck = Type.Optional(Type.Boolean({ description: 'Asks nobody on the network who has which address' }));
export const clusterCreateRequestSchema = Type.Object(
  { files: manifestFilesSchema, options: clusterOptionsRequestSchema, skipIpCheck, dryRun },
  closed,
);
export const clusterPlanRequestSchema = Type.Object(
  {
    files: manifestFilesSchema,
    options: clusterOptionsRequestSchema,
    skipIpCheck,
  },
  closed,
);
export const clusterPlanSchema = Type.Unsafe<ClusterPlan>({ type: 'object', additionalProperties: true });
export type { ClusterPlan, PlannedNode } from '../cluster/cluster-plan.ts';
export const clusterCreateAnswerSchema = Type.Object({
  outcome: Type.Unsafe<'created' | 'unchanged'>({ type: 'string' }),
  warnings: Type.Array(problemSchema),
  cluster: Type.Optional(clusterSchema),
});
export type ClusterCreateAnswer = View<typeof clusterCreateAnswerSchema>;

export const clusterScaleRequestSchema = Type.Object(
  {
    files: Type.Optional(manifestFilesSchema),
    controlPlane: Type.Optional(Type.Integer({ minimum: 1, maximum: 99 })),
    workers: Type.Optional(
      Type.Unsafe<Readonly<Record<string, number>>>({
        type: 'object',
        additionalProperties: { type: 'integer', minimum: 0, maximum: 10_000 },
      }),
    ),
    options: clusterOptionsRequestSchema,
    dryRun,
  },
  closed,
);
export const clusterUpgradeRequestSchema = Type.Object(
  { files: manifestFilesSchema, options: clusterOptionsRequestSchema, dryRun },
  closed,
);
export const clusterChangeAnswerSchema = Type.Object({
  outcome: Type.Unsafe<'configured' | 'unchanged'>({ type: 'string' }),
  steps: Type.Array(Type.String(), { description: 'What is done, in order, one sentence each' }),
  warnings: Type.Array(problemSchema),
});
export type ClusterChangeAnswer = View<typeof clusterChangeAnswerSchema>;

export const clusterDeleteQuerySchema = Type.Object({ wipe: Type.Optional(Type.Boolean()), dryRun }, closed);
export const clusterDeleteAnswerSchema = Type.Object({
  kind: Type.String(),
  name: Type.String(),
  steps: Type.Array(Type.String(), { description: 'What is done, in order, one sentence each' }),
});
export type ClusterDeleteAnswer = View<typeof clusterDeleteAnswerSchema>;
export const kubeconfigSchema = Type.Object({ kubeconfig: Type.String({ description: 'A secret' }) });
