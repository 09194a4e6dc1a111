import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { commandOf, progressMessage, reportMessage } from '#agent/link-wire.ts';
import type { ProgressReport, Report } from '#agent/report.ts';
import { ERROR_CODES, type ErrorCode, TinsmithError } from '#proto/errors.ts';
import { AgentMessageSchema, ServerMessageSchema } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { errorOfGrpc, grpcStatusOf } from '#proto/grpc-errors.ts';
import { numberOf, reportOf, serverMessageOf } from '#server/provision/agent-wire.ts';
import type { AgentCommand, AgentReport } from '#server/provision/engine.ts';
import { someInventory } from '#test/support/records.ts';

const task = { workflow: 'w-ü', attempt: 4_294_967_295, task: 0 };
const at = new Date('2026-11-22T11:00:00.123Z');
const now = new Date('2030-01-01T00:00:00Z');

describe('a report over the wire', () => {
  const same: readonly (Report & AgentReport)[] = [
    { kind: 'taskAccepted', task },
    { kind: 'actionStarted', task, action: 3, at },
    {
      kind: 'actionLog',
      task,
      action: 0,
      lines: [
        { at, stream: 'stderr', text: '' },
        { at, stream: 'agent', text: '日本 \u0000 \u001b[0m' },
      ],
    },
  ];
  for (const report of same) {
    it(`is the same on the other side: ${report.kind}`, () => assert.deepEqual(carry(report), report));
  }

  it('keeps its sequence up to the last number that can be counted', () => {
    const message = reportMessage(Number.MAX_SAFE_INTEGER, { kind: 'taskAccepted', task });

    assert.equal(numberOf(message.sequence), Number.MAX_SAFE_INTEGER);
    assert.throws(() => numberOf(2n ** 53n), /more than can be counted/);
  });

  for (const outcome of ['failed', 'timedOut', 'cancelled'] as const) {
    it(`tells how an action ended: ${outcome}`, () => {
      const error = new TinsmithError('checksum_mismatch', 'bytes differ', { cause: new Error('inner') });

      const report = carry({
        kind: 'actionFinished',
        task,
        action: 1,
        at,
        result: { outcome, exitCode: 255, error, tries: 3 },
      });

      const told = { code: 'checksum_mismatch', message: 'bytes differ' };
      const result = { outcome, at, exitCode: 255, tries: 3, error: told };
      assert.deepEqual(report, { kind: 'actionFinished', task, action: 1, result });
    });
  }

  it('tells of a success without an error', () => {
    const result = { outcome: 'succeeded', exitCode: 0, tries: 1 } as const;

    const report = carry({ kind: 'actionFinished', task, action: 1, at, result });

    assert.deepEqual(report, { kind: 'actionFinished', task, action: 1, result: { ...result, at } });
  });

  it('carries an inventory', () => {
    const report = carry({ kind: 'inventory', inventoryJson: JSON.stringify(someInventory) });

    assert.deepEqual(report, { kind: 'inventory', inventory: someInventory });
  });

  const progresses: readonly (readonly [string, Partial<ProgressReport>, object])[] = [
    ['an unknown total', {}, { done: 5, perSecond: 0, unit: 'bytes' }],
    [
      'more than 32 bits',
      { total: 2 ** 50, done: 2 ** 49 },
      { done: 2 ** 49, total: 2 ** 50, perSecond: 0, unit: 'bytes' },
    ],
    ['fractions', { done: 1.6, perSecond: 1234.5 }, { done: 2, perSecond: 1235, unit: 'bytes' }],
    ['no number', { done: Number.NaN, perSecond: Infinity }, { done: 0, perSecond: 0, unit: 'bytes' }],
    ['a negative one', { done: -1 }, { done: 0, perSecond: 0, unit: 'bytes' }],
    [
      'why nothing is done',
      { idleMs: 65_000, trouble: 'it was cut', waitsFor: 'its turn (2nd in line)', waitedMs: 42_000 },
      {
        done: 5,
        perSecond: 0,
        unit: 'bytes',
        idleMs: 65_000,
        trouble: 'it was cut',
        waitsFor: 'its turn (2nd in line)',
        waitedMs: 42_000,
      },
    ],
  ];
  for (const [what, progress, expected] of progresses) {
    it(`carries progress with ${what}`, () => {
      const message = progressMessage({ task, action: 0, done: 5, perSecond: 0, unit: 'bytes', ...progress });

      const report = reportOf(fromBinary(AgentMessageSchema, toBinary(AgentMessageSchema, message)), now);

      assert.deepEqual(report, { kind: 'actionProgress', task, action: 0, progress: expected });
    });
  }
});

describe('a command over the wire', () => {
  const commands: readonly AgentCommand[] = [
    { kind: 'reboot' },
    { kind: 'powerOff' },
    { kind: 'collectInventory' },
    { kind: 'cancel', task, reason: 'because “it” was asked for' },
    {
      kind: 'runTask',
      task,
      name: 'os',
      facts: {
        hardware: 'm',
        interfaces: [{ mac: '02:00:00:00:00:01', nameServers: ['10.0.0.1'], address: '10.0.0.2' }],
      },
      actions: [
        {
          name: 'stream image',
          builtIn: 'image2disk',
          timeoutMs: 9_600_000,
          environment: { IMG_URL: 'http://10.0.0.1/i.gz', EMPTY: '', ['__proto__']: 'x' },
          command: ['a b', ''],
          retries: 2,
        },
      ],
    },
  ];
  for (const command of commands) {
    it(`is the same on the other side: ${command.kind}`, () => {
      const bytes = toBinary(ServerMessageSchema, serverMessageOf(command));

      assert.deepEqual(commandOf(fromBinary(ServerMessageSchema, bytes)), command);
    });
  }

  it('never has a timeout that a timer would take for none', () => {
    const command = commands.find(({ kind }) => kind === 'runTask');
    assert.ok(command?.kind === 'runTask');
    const actions = command.actions.map((action) => ({ ...action, timeoutMs: Number.MAX_SAFE_INTEGER }));

    const read = commandOf(serverMessageOf({ ...command, actions }));

    assert.ok(read?.kind === 'runTask');
    assert.equal(read.actions[0]?.timeoutMs, 2 ** 31 - 1);
  });
});

describe('an error over gRPC', () => {
  for (const code of Object.keys(ERROR_CODES).filter((name) => name !== 'internal') as ErrorCode[]) {
    it(`keeps its code: ${code}`, () => {
      const thrown = Object.assign(new Error('gRPC'), grpcStatusOf(new TinsmithError(code, 'the sentence')));

      const error = errorOfGrpc(thrown, 'cannot do it');

      assert.equal(error.code, code);
      assert.equal(error.message, 'cannot do it: the sentence');
    });
  }

  it('is unavailable when the other side is not ours', () => {
    assert.equal(errorOfGrpc(new Error('ECONNREFUSED'), 'cannot do it').code, 'unavailable');
  });
});

function carry(report: Report): AgentReport | undefined {
  const bytes = toBinary(AgentMessageSchema, reportMessage(1, report));
  return reportOf(fromBinary(AgentMessageSchema, bytes), now);
}
