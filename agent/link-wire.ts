import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { HardwareFacts } from '#proto/actions/facts.ts';
import { TinsmithError } from '#proto/errors.ts';
import {
  ActionOutcome,
  type AgentMessage,
  AgentMessageSchema,
  type Peers,
  type RunTask,
  type ServerMessage,
  type TaskRef as WireTaskRef,
} from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import type { Offer } from './peer-board.ts';
import type { Command, ProgressReport, Report, TaskRef } from './report.ts';
import type { PeerGroup } from './write/library/peers/peer-directory.ts';

/** Longer timers fire at once (Node: 31 bits); it is 24 days. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export function helloMessage(hello: {
  readonly session: string;
  readonly bootId: string;
  readonly agentVersion: string;
  readonly running: TaskRef | undefined;
}): AgentMessage {
  const { session, bootId, agentVersion, running } = hello;
  const known = { session, bootId, agentVersion };
  return create(AgentMessageSchema, {
    body: { case: 'hello', value: running === undefined ? known : { ...known, running } },
  });
}

export function heartbeatMessage(): AgentMessage {
  return create(AgentMessageSchema, { body: { case: 'heartbeat', value: {} } });
}

export function progressMessage(progress: ProgressReport): AgentMessage {
  const { task, action, unit } = progress;
  const value = {
    task,
    action,
    unit,
    done: countOf(progress.done),
    total: countOf(progress.total ?? 0),
    perSecond: countOf(progress.perSecond),
    idleMs: countOf(progress.idleMs ?? 0),
    trouble: progress.trouble ?? '',
    waitsFor: progress.waitsFor ?? '',
    waitedMs: countOf(progress.waitedMs ?? 0),
  };
  return create(AgentMessageSchema, { body: { case: 'actionProgress', value } });
}

export function peerOfferMessage(offer: Offer): AgentMessage {
  return create(AgentMessageSchema, { body: { case: 'peerOffer', value: { ...offer } } });
}

export function peerGroupOf({ rank, of, peers }: Peers): PeerGroup {
  return { rank, of, peers: peers.map(({ address, port }) => ({ address, port })) };
}

export function reportMessage(sequence: number, report: Report): AgentMessage {
  return create(AgentMessageSchema, { sequence: BigInt(sequence), body: bodyOf(report) });
}

type AgentBody = NonNullable<Parameters<typeof create<typeof AgentMessageSchema>>[1]>['body'];

function bodyOf(report: Report): NonNullable<AgentBody> {
  switch (report.kind) {
    case 'taskAccepted':
      return { case: 'taskAccepted', value: { task: report.task } };
    case 'actionStarted': {
      const { task, action } = report;
      return { case: 'actionStarted', value: { task, action, at: timestampFromDate(report.at) } };
    }
    case 'actionLog': {
      const { task, action } = report;
      const lines = report.lines.map((line) => ({ ...line, at: timestampFromDate(line.at) }));
      return { case: 'actionLog', value: { task, action, lines } };
    }
    case 'actionFinished': {
      const { task, action, result } = report;
      const error =
        result.error === undefined ? {} : { errorCode: result.error.code, errorMessage: result.error.message };
      const value = {
        task,
        action,
        ...error,
        outcome: OUTCOMES[result.outcome],
        at: timestampFromDate(report.at),
        exitCode: result.exitCode,
        tries: result.tries,
      };
      return { case: 'actionFinished', value };
    }
    case 'inventory':
      return { case: 'inventory', value: { inventoryJson: report.inventoryJson } };
  }
}

const OUTCOMES = {
  succeeded: ActionOutcome.SUCCEEDED,
  failed: ActionOutcome.FAILED,
  timedOut: ActionOutcome.TIMED_OUT,
  cancelled: ActionOutcome.CANCELLED,
} as const;

/** The command in a server's message; undefined for what is none, or one that only a newer agent knows. */
export function commandOf(message: ServerMessage): Command | undefined {
  const { body } = message;
  switch (body.case) {
    case 'runTask':
      return runTaskOf(body.value);
    case 'cancel':
      return { kind: 'cancel', task: taskRefOf(body.value.task), reason: body.value.reason };
    case 'collectInventory':
      return { kind: 'collectInventory' };
    case 'reboot':
      return { kind: 'reboot' };
    case 'powerOff':
      return { kind: 'powerOff' };
    case 'welcome':
    case 'ack':
    case 'peers':
    case undefined:
      return undefined;
  }
}

function runTaskOf(message: RunTask): Command {
  return {
    kind: 'runTask',
    task: taskRefOf(message.task),
    name: message.taskName,
    facts: factsOf(message.hardwareJson),
    actions: message.actions.map((action) => ({
      name: action.name,
      builtIn: action.builtIn,
      timeoutMs: Math.min(Number(action.timeoutMs), MAX_TIMER_MS),
      environment: action.environment,
      command: action.command,
      retries: action.retries,
    })),
  };
}

function taskRefOf(task: WireTaskRef | undefined): TaskRef {
  if (task === undefined) throw new TinsmithError('internal', 'cannot follow a command: it names no task');
  return { workflow: task.workflow, attempt: task.attempt, task: task.task };
}

function factsOf(json: string): HardwareFacts {
  const facts: unknown = JSON.parse(json);
  if (!isHardwareFacts(facts)) throw new TinsmithError('internal', 'cannot follow a command: it has no hardware facts');
  return facts;
}

/** The server that sent it is authenticated and writes the whole type: its outline is enough. */
function isHardwareFacts(value: unknown): value is HardwareFacts {
  if (typeof value !== 'object' || value === null) return false;
  return (
    'hardware' in value &&
    typeof value.hardware === 'string' &&
    'interfaces' in value &&
    Array.isArray(value.interfaces)
  );
}

function countOf(value: number): bigint {
  return Number.isFinite(value) && value > 0 ? BigInt(Math.round(value)) : 0n;
}
