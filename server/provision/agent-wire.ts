import { create } from '@bufbuild/protobuf';
import { type Timestamp, timestampDate, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { MAX_LOG_LINE_BYTES } from '#proto/agent-service-definition.ts';
import { isErrorCode, TinsmithError } from '#proto/errors.ts';
import {
  type ActionFinished,
  ActionOutcome,
  type AgentMessage,
  type ServerMessage,
  ServerMessageSchema,
  type ActionProgress as WireActionProgress,
  type LogLine as WireLogLine,
  type PeerOffer as WirePeerOffer,
  type TaskRef as WireTaskRef,
} from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { parseInventory } from '#proto/inventory-document.ts';
import type { ActionProgress, ActionResult, AgentCommand, AgentReport, LogLine, TaskRef } from './engine.ts';
import type { PeerOffer, PeersTold } from './peer-tracker.ts';

/** Longer sentences are cut: they end in the event log. */
const MAX_MESSAGE_CHARACTERS = 4096;
const MAX_NAME_CHARACTERS = 253;
const MAX_UNIT_CHARACTERS = 32;
const MAX_TROUBLE_CHARACTERS = 512;
const MOST_PORTS = 65_535;

/**
 * An agent's message as a report, or undefined if it is none (hello, heartbeat) or one that only a newer server knows.
 * `now` dates what carries no time. Throws `invalid_input` for what no agent of ours sends.
 */
export function reportOf(message: AgentMessage, now: Date): AgentReport | undefined {
  const { body } = message;
  switch (body.case) {
    case 'taskAccepted':
      return { kind: 'taskAccepted', task: taskRefOf(body.value.task) };
    case 'actionStarted':
      return { kind: 'actionStarted', ...actionOf(body.value), at: dateOf(body.value.at, now) };
    case 'actionProgress':
      return { kind: 'actionProgress', ...actionOf(body.value), progress: progressOf(body.value) };
    case 'actionLog':
      return {
        kind: 'actionLog',
        ...actionOf(body.value),
        lines: body.value.lines.map((line) => logLineOf(line, now)),
      };
    case 'actionFinished':
      return { kind: 'actionFinished', ...actionOf(body.value), result: resultOf(body.value, now) };
    case 'inventory':
      return { kind: 'inventory', inventory: parseInventory(body.value.inventoryJson) };
    case 'hello':
    case 'heartbeat':
    case 'peerOffer':
    case undefined:
      return undefined;
  }
}

/** Throws `invalid_input` for what no agent of ours sends. */
export function peerOfferOf({ digest, port, frames }: WirePeerOffer): PeerOffer {
  if (!/^[0-9a-f]{64}$/.test(digest) || port > MOST_PORTS) {
    throw new TinsmithError('invalid_input', `cannot take an offer of frames: it names port ${port} or no image`);
  }
  return { digest, port, frames };
}

export function peersMessage({ digest, rank, of, peers }: PeersTold): ServerMessage {
  const value = { digest, rank, of, peers: peers.map(({ address, port }) => ({ address, port })) };
  return create(ServerMessageSchema, { body: { case: 'peers', value } });
}

/** Throws `invalid_input` when it is missing or names nothing. */
export function taskRefOf(task: WireTaskRef | undefined): TaskRef {
  if (task === undefined || task.workflow === '' || task.workflow.length > MAX_NAME_CHARACTERS) {
    throw new TinsmithError('invalid_input', 'cannot take a report: it names no task');
  }
  return { workflow: task.workflow, attempt: task.attempt, task: task.task };
}

/** What the agent is told to do, as it goes over the wire. */
export function serverMessageOf(command: AgentCommand): ServerMessage {
  switch (command.kind) {
    case 'runTask':
      return create(ServerMessageSchema, {
        body: {
          case: 'runTask',
          value: {
            task: command.task,
            taskName: command.name,
            hardwareJson: JSON.stringify(command.facts),
            actions: command.actions.map((action) => ({
              name: action.name,
              builtIn: action.builtIn,
              timeoutMs: BigInt(action.timeoutMs),
              environment: { ...action.environment },
              command: [...action.command],
              retries: action.retries,
            })),
          },
        },
      });
    case 'cancel':
      return create(ServerMessageSchema, {
        body: { case: 'cancel', value: { task: command.task, reason: command.reason } },
      });
    case 'reboot':
      return create(ServerMessageSchema, { body: { case: 'reboot', value: {} } });
    case 'powerOff':
      return create(ServerMessageSchema, { body: { case: 'powerOff', value: {} } });
    case 'collectInventory':
      return create(ServerMessageSchema, { body: { case: 'collectInventory', value: {} } });
  }
}

export function welcomeMessage(welcome: {
  readonly heartbeatMs: number;
  readonly acknowledged: number;
  readonly now: Date;
}): ServerMessage {
  return create(ServerMessageSchema, {
    body: {
      case: 'welcome',
      value: {
        heartbeatMs: welcome.heartbeatMs,
        acknowledged: BigInt(welcome.acknowledged),
        serverTime: timestampFromDate(welcome.now),
      },
    },
  });
}

export function ackMessage(sequence: number): ServerMessage {
  return create(ServerMessageSchema, { body: { case: 'ack', value: { sequence: BigInt(sequence) } } });
}

/** A count of the wire as a number. Throws `invalid_input` above 2^53. */
export function numberOf(value: bigint): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new TinsmithError('invalid_input', `cannot take a report: ${value} is more than can be counted`);
  }
  return number;
}

function actionOf(body: { readonly task?: WireTaskRef | undefined; readonly action: number }): {
  readonly task: TaskRef;
  readonly action: number;
} {
  return { task: taskRefOf(body.task), action: body.action };
}

function progressOf({ done, total, perSecond, unit, ...stand }: WireActionProgress): ActionProgress {
  const known = total === 0n ? {} : { total: numberOf(total) };
  const counted = unit === '' ? 'bytes' : unit.slice(0, MAX_UNIT_CHARACTERS);
  return { done: numberOf(done), ...known, perSecond: numberOf(perSecond), unit: counted, ...standOf(stand) };
}

function standOf({
  idleMs,
  trouble,
  waitsFor,
  waitedMs,
}: Pick<WireActionProgress, 'idleMs' | 'trouble' | 'waitsFor' | 'waitedMs'>): Partial<ActionProgress> {
  return {
    ...(idleMs > 0n && { idleMs: numberOf(idleMs) }),
    ...(trouble !== '' && { trouble: trouble.slice(0, MAX_TROUBLE_CHARACTERS) }),
    ...(waitsFor !== '' && { waitsFor: waitsFor.slice(0, MAX_TROUBLE_CHARACTERS) }),
    ...(waitedMs > 0n && { waitedMs: numberOf(waitedMs) }),
  };
}

function resultOf(finished: ActionFinished, now: Date): ActionResult {
  const at = dateOf(finished.at, now);
  const told = outcomeOf(finished.outcome);
  const result = { at, exitCode: finished.exitCode, tries: Math.max(1, finished.tries) };
  if (told === 'succeeded') return { ...result, outcome: told };
  if (told === undefined) {
    const message = `the agent reported outcome ${finished.outcome}, which this server does not know: upgrade the server`;
    return { ...result, outcome: 'failed', error: { code: 'unsupported', message } };
  }
  const code = isErrorCode(finished.errorCode) ? finished.errorCode : 'internal';
  return { ...result, outcome: told, error: { code, message: finished.errorMessage.slice(0, MAX_MESSAGE_CHARACTERS) } };
}

/** Undefined: none that we know. An unknown outcome is never a success. */
function outcomeOf(outcome: number): ActionResult['outcome'] | undefined {
  if (outcome === ActionOutcome.SUCCEEDED) return 'succeeded';
  if (outcome === ActionOutcome.FAILED) return 'failed';
  if (outcome === ActionOutcome.TIMED_OUT) return 'timedOut';
  if (outcome === ActionOutcome.CANCELLED) return 'cancelled';
  return undefined;
}

function logLineOf(line: WireLogLine, now: Date): LogLine {
  const stream = line.stream === 'stdout' || line.stream === 'stderr' ? line.stream : 'agent';
  return { at: dateOf(line.at, now), stream, text: line.text.slice(0, MAX_LOG_LINE_BYTES) };
}

/** A time that no Date can hold (hostile or broken clock) becomes ours. */
function dateOf(at: Timestamp | undefined, now: Date): Date {
  if (at === undefined) return now;
  const date = timestampDate(at);
  const year = date.getUTCFullYear();
  return year >= 1970 && year <= 9999 ? date : now;
}
