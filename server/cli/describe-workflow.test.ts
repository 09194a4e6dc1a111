import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ActionRunView, EventView, WorkflowView } from '../api/types.ts';
import { describeWorkflow } from './describe-workflow.ts';

const start = Date.UTC(2026, 0, 1);
const at = (seconds: number): string => new Date(start + seconds * 1000).toISOString();

const workflow: WorkflowView = {
  name: 'w',
  labels: { site: 'a' },
  annotations: {},
  spec: { templateRef: 'debian' },
  state: 'running',
  stateAt: at(12),
  hardware: ['one'],
  attempt: 1,
  attemptsOfRun: 1,
  task: 0,
  startedAt: at(12),
  actions: [],
  version: 1,
  createdAt: at(0),
};

function run(attempt: number, action: number, facts: Partial<ActionRunView>): ActionRunView {
  return { attempt, task: 0, action, taskName: 't', name: `action-${action}`, image: 'i', state: 'pending', ...facts };
}

function event(seconds: number, name: EventView['name']): EventView {
  return { id: seconds, at: at(seconds), name, actor: 'machine', hardware: 'one', data: {} };
}

/** The lines of the timelines, with single spaces and without bars. */
function timeline(history: readonly ActionRunView[], events: readonly EventView[], more: Partial<WorkflowView> = {}) {
  const facts = { history, events, now: new Date(start + 100_000), columns: 100 };
  const lines = describeWorkflow({ ...workflow, ...more }, facts);
  return lines
    .slice(lines.indexOf('Attempt 1'), lines.indexOf('Events (UTC)'))
    .map((line) =>
      line
        .replace(/[█▏▎▍▌▋▊▉░]+/g, '')
        .replace(/ +/g, ' ')
        .trim(),
    )
    .filter((line) => line !== '');
}

describe('describeWorkflow', () => {
  it('tells where a running attempt is, and what is still to do', () => {
    const progress = { done: 512, total: 1024, perSecond: 64, unit: 'bytes' };
    const history = [
      run(1, 0, { state: 'succeeded', startedAt: at(15), finishedAt: at(40), tries: 2, exitCode: 0 }),
      run(1, 1, { state: 'running', startedAt: at(45), progress }),
      run(1, 2, {}),
    ];

    const lines = timeline(history, [event(5, 'machine.booting'), event(11, 'machine.enrolled')], { actions: history });

    assert.deepEqual(lines, [
      'Attempt 1',
      '+0.0s waiting for the machine to boot 5.0s',
      '+5.0s boot environment starts 6.0s',
      '+11.0s until the first action 4.0s',
      '+15.0s action-0 25.0s succeeded',
      '2 tries',
      '+40.0s between actions 5.0s',
      '+45.0s action-1 55.0s running',
      '50 % 512 B of 1.0 KiB 64 B/s 8.0s left',
      'Where the time went: action-1 55 %, action-0 25 %, boot environment starts 6 % of 1m40s',
      'Still to do: action-2',
    ]);
  });

  it('gives every attempt a timeline of its own that begins where the former one ended', () => {
    const lost = { code: 'lost', message: 'the agent went away' } as const;
    const history = [
      run(1, 0, { state: 'lost', startedAt: at(10), finishedAt: at(30), error: lost }),
      run(1, 1, { state: 'skipped' }),
      run(2, 0, { state: 'succeeded', startedAt: at(50), finishedAt: at(60) }),
    ];
    const events = [
      event(2, 'machine.booting'),
      event(9, 'machine.enrolled'),
      event(41, 'machine.booting'),
      event(50, 'machine.enrolled'),
    ];

    const lines = timeline(history, events, { attempt: 2, state: 'succeeded', finishedAt: at(60) });

    assert.deepEqual(lines, [
      'Attempt 1',
      '+0.0s waiting for the machine to boot 2.0s',
      '+2.0s boot environment starts 7.0s',
      '+9.0s until the first action 1.0s',
      '+10.0s action-0 20.0s lost',
      'lost: the agent went away',
      'Attempt 2',
      '+30.0s waiting for the machine to boot 11.0s',
      '+41.0s boot environment starts 9.0s',
      '+50.0s action-0 10.0s succeeded',
      'Where the time went: waiting for the machine to boot 37 %, action-0 33 %, boot environment starts 30 % of 30.0s',
    ]);
  });

  it('shows for how long nobody came', () => {
    const { startedAt: _, ...pending } = workflow;
    const facts = { history: [run(1, 0, {})], events: [], now: new Date(start + 90_000), columns: 80 };

    const text = describeWorkflow({ ...pending, state: 'pending' }, facts).join('\n');

    assert.match(text, /^State +pending for 1m30s$/m);
    assert.match(text, /^ +\+0\.0s {2}waiting for the machine +1m30s/m);
    assert.doesNotMatch(text, /NaN|Infinity|undefined/);
  });
});
