import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hardwareManifest, plannedWorkflow } from '#test/support/records.ts';
import type { ActionState } from '../life/action-life.ts';
import { hardwareFacts } from '../manifests/hardware-facts.ts';
import type { Hardware, Workflow } from '../store/store.ts';
import { isCurrent, isLostAtHello, isSpent, nextStep, overdue, repeatFault, runTask } from './workflow-decisions.ts';

const now = new Date('2026-01-01T01:00:00Z');
const accepted = { session: 's', at: now };
const elapsedMs = (since: Date) => now.getTime() - since.getTime();
const minutesAgo = (minutes: number) => new Date(now.getTime() - minutes * 60_000);

/** A workflow in a state; `states` are those of its actions. */
function workflow(
  name: string,
  queueOrder: number,
  change: Partial<Workflow> & { states?: readonly ActionState[] } = {},
): Workflow {
  const { states = ['pending', 'pending'], ...rest } = change;
  const hardware = rest.hardware ?? ['m1'];
  const { manifest, rendered } = plannedWorkflow(name, hardware);
  return {
    ...manifest,
    version: 1,
    createdAt: now,
    queueOrder,
    state: 'pending',
    stateAt: now,
    hardware,
    rendered,
    attempt: 1,
    attemptsOfRun: 1,
    task: 0,
    actions: states.map((state, action) => ({
      attempt: 1,
      task: 0,
      action,
      taskName: 'task-0',
      name: `action-${action}`,
      image: 'image2disk',
      state,
      ...(state === 'running' ? { startedAt: now } : {}),
    })),
    ...rest,
  };
}

function step(hardware: string, ...queue: readonly Workflow[]): string {
  const next = nextStep(hardware, queue, 3);
  return next.kind === 'nothing' ? 'nothing' : `${next.kind} ${next.workflow.name}`;
}

describe('next step of a machine', () => {
  const disabled = { spec: { templateRef: 't', hardwareMap: {}, disabled: true } };
  const cases: readonly (readonly [what: string, expected: string, hardware: string, ...queue: readonly Workflow[]])[] =
    [
      ['has no workflow', 'nothing', 'm1'],
      ['has a pending one', 'run w', 'm1', workflow('w', 1)],
      ['has one of another machine', 'nothing', 'm2', workflow('w', 1)],
      ['has two pending ones in the wrong order', 'run old', 'm1', workflow('new', 2), workflow('old', 1)],
      ['has a disabled one', 'nothing', 'm1', workflow('w', 1, disabled)],
      ['has a disabled one before another', 'run on', 'm1', workflow('off', 1, disabled), workflow('on', 2)],
      [
        'runs one that is younger',
        'nothing',
        'm1',
        workflow('old', 1),
        workflow('new', 2, { state: 'running', accepted, states: ['running'] }),
      ],
      ['has a running one with a task to accept', 'run w', 'm1', workflow('w', 1, { state: 'running' })],
      ['lost an attempt', 'attemptAgain w', 'm1', workflow('w', 1, { state: 'waiting', states: ['lost', 'skipped'] })],
      [
        'lost its last attempt',
        'fail w',
        'm1',
        workflow('w', 1, { state: 'waiting', states: ['lost'], attemptsOfRun: 3 }),
      ],
      ['has its next attempt ready', 'run w', 'm1', workflow('w', 1, { state: 'waiting' })],
      [
        'waits for a task of another machine',
        'nothing',
        'm2',
        workflow('w', 1, { state: 'running', hardware: ['m1', 'm2'] }),
      ],
      [
        'has its turn in a hand-over',
        'run w',
        'm2',
        workflow('w', 1, { state: 'running', hardware: ['m1', 'm2'], task: 1 }),
      ],
      [
        'needs a machine that is busy',
        'nothing',
        'm1',
        workflow('w', 1, { hardware: ['m1', 'm2'] }),
        workflow('x', 2, { state: 'running', accepted, hardware: ['m2'] }),
      ],
      [
        'needs a machine that an older one waits for',
        'nothing',
        'm1',
        workflow('old', 1, { hardware: ['m2'] }),
        workflow('w', 2, { hardware: ['m1', 'm2'] }),
      ],
      [
        'is not held up by a disabled one elsewhere',
        'run w',
        'm1',
        workflow('old', 1, { ...disabled, hardware: ['m2'] }),
        workflow('w', 2, { hardware: ['m1', 'm2'] }),
      ],
    ];
  for (const [what, expected, hardware, ...queue] of cases) {
    it(`is "${expected}" when it ${what}`, () => {
      assert.equal(step(hardware, ...queue), expected);
      assert.equal(step(hardware, ...queue.toReversed()), expected);
    });
  }
});

describe('a hello', () => {
  const running = workflow('w', 1, { state: 'running', accepted, states: ['running', 'pending'], attempt: 2 });
  const ref = { workflow: 'w', attempt: 2, task: 0 };
  it('loses a run only if the agent does not hold exactly it', () => {
    assert.equal(isLostAtHello(running, 's', ref), false);
    assert.equal(isLostAtHello(running, 's', undefined), true);
    assert.equal(isLostAtHello(running, 'another process', ref), true);
    assert.equal(isLostAtHello(running, 's', { ...ref, attempt: 1 }), true);
    assert.equal(isLostAtHello(running, 's', { ...ref, task: 1 }), true);
    assert.equal(isLostAtHello(running, 's', { ...ref, workflow: 'x' }), true);
    const { accepted: _, ...notAccepted } = running;
    assert.equal(isLostAtHello(notAccepted, 's', undefined), false);
    assert.equal(isLostAtHello(workflow('w', 1), 's', undefined), false);
  });

  it('lets an agent go on only with the newest attempt of a run that goes on', () => {
    const held = { session: 's', task: ref };
    const { accepted: _, ...notAccepted } = running;
    assert.equal(isCurrent(running, held), true);
    assert.equal(isCurrent(running, { ...held, session: 'another process' }), false);
    assert.equal(isCurrent(notAccepted, { ...held, session: 'another process' }), true);
    assert.equal(isCurrent(undefined, held), false);
    assert.equal(isCurrent(running, { ...held, task: { ...ref, attempt: 1 } }), false);
    assert.equal(isCurrent({ ...running, state: 'cancelled' }, held), false);
    assert.equal(
      isCurrent(workflow('w', 1, { state: 'waiting', states: ['lost', 'skipped'], attempt: 2 }), held),
      false,
    );
  });

  it('sees a lost attempt in its actions, and never in a run that has ended', () => {
    assert.equal(isSpent(workflow('w', 1, { state: 'waiting', states: ['succeeded', 'lost', 'skipped'] })), true);
    assert.equal(isSpent(workflow('w', 1, { state: 'waiting', states: ['succeeded', 'pending'] })), false);
    assert.equal(isSpent(workflow('w', 1, { state: 'succeeded', states: ['succeeded'] })), false);
  });
});

describe('another attempt', () => {
  it('is allowed while attempts are left and every action of the lost task is repeatable', () => {
    const lost = { state: 'waiting', states: ['lost', 'skipped'] } as const;
    const withCexec = { ...plannedWorkflow('w', ['m1', 'm2'], { images: ['image2disk', 'cexec'] }) };
    const [repeatable] = plannedWorkflow('w', ['m1']).rendered.tasks;
    const [unsafe] = withCexec.rendered.tasks;
    assert.ok(repeatable && unsafe);
    const tasks = { ...withCexec.rendered, tasks: [unsafe, repeatable] };

    assert.equal(repeatFault(workflow('w', 1, { ...lost, attemptsOfRun: 2 }), 3), undefined);
    assert.equal(repeatFault(workflow('w', 1, { ...lost, attempt: 9, attemptsOfRun: 1 }), 3), undefined);
    assert.match(
      repeatFault(workflow('w', 1, { ...lost, attemptsOfRun: 3 }), 3)?.message ?? '',
      /m1 .*action-0.*attempt 3 of 3/,
    );
    assert.match(
      repeatFault(workflow('w', 1, { ...lost, rendered: tasks }), 3)?.message ?? '',
      /cexec-1 is not repeatable/,
    );
    assert.equal(
      repeatFault(workflow('w', 1, { ...lost, hardware: ['m1', 'm2'], task: 1, rendered: tasks }), 3),
      undefined,
    );
  });
});

function waited(hours: number) {
  return { done: 0, perSecond: 0, unit: 'bytes', waitedMs: hours * 3_600_000 };
}

describe('overdue', () => {
  const agent = { elapsedMs, isLeaseOver: false, isSettled: true };
  const limited = { ...plannedWorkflow('w', ['m1']).rendered, globalTimeoutMs: 600_000 };
  const running = workflow('w', 1, { state: 'running', accepted, states: ['running', 'pending'] });
  const [first, second] = running.actions;
  assert.ok(first && second);
  const startedLongAgo = [{ ...first, startedAt: minutesAgo(2) }, second];

  it('is nothing that is in time', () => {
    assert.equal(overdue({ ...running, rendered: limited, startedAt: minutesAgo(9) }, agent), undefined);
  });

  it('is a run whose agent is silent for its lease', () => {
    assert.equal(overdue(running, { ...agent, isLeaseOver: true })?.kind, 'lost');
  });

  it('is not a run that waits for a machine, however long that is silent', () => {
    const { accepted: _, ...waiting } = running;
    assert.equal(overdue({ ...waiting, state: 'waiting' }, { ...agent, isLeaseOver: true }), undefined);
  });

  it('is a run beyond its global timeout from its first start, also while it waits', () => {
    const late = { rendered: limited, startedAt: minutesAgo(10) };
    const { accepted: _, ...waiting } = running;
    assert.equal(overdue({ ...running, ...late }, agent)?.kind, 'timedOut');
    assert.equal(overdue({ ...waiting, ...late, state: 'waiting' }, { ...agent, isSettled: false })?.kind, 'timedOut');
  });

  it('is an action beyond its timeout and the grace for its agent', () => {
    assert.equal(overdue({ ...running, actions: startedLongAgo }, agent)?.kind, 'failed');
    const inGrace = [{ ...first, startedAt: new Date(now.getTime() - 80_000) }, second];
    assert.equal(overdue({ ...running, actions: inGrace }, agent), undefined);
  });

  it('is not an action whose time went by while it waited for its turn, unless it says so of half a day', () => {
    const began = (hours: number, progress: ReturnType<typeof waited>) => [
      { ...first, startedAt: minutesAgo(60 * hours + 1), progress },
      second,
    ];

    assert.equal(overdue({ ...running, actions: began(1, waited(1)) }, agent), undefined);
    assert.equal(overdue({ ...running, actions: began(11, waited(1)) }, agent)?.kind, 'failed');
    assert.equal(overdue({ ...running, actions: began(13, waited(13)) }, agent)?.kind, 'failed');
  });

  it('is a run beyond its global timeout also while it waits for its turn, and says for how long it did', () => {
    const progress = { done: 0, perSecond: 0, unit: 'bytes', waitedMs: 480_000 };
    const actions = [{ ...first, startedAt: minutesAgo(9), progress }, second];

    const found = overdue({ ...running, actions, rendered: limited, startedAt: minutesAgo(10) }, agent);

    assert.match(
      found?.kind === 'timedOut' ? found.message : '',
      /timeout of 600 s, of which it waited 480 s for its turn$/,
    );
  });

  it('is a run whose agent is there but begins none of its actions', () => {
    const idle = workflow('w', 1, { state: 'running', accepted: { session: 's', at: minutesAgo(30) } });
    const [pending] = idle.actions;
    assert.ok(pending);
    const done = (minutes: number) => ({ ...pending, state: 'succeeded' as const, finishedAt: minutesAgo(minutes) });

    const found = overdue({ ...idle, actions: [done(10), pending] }, agent);

    assert.equal(found?.kind === 'failed' && found.fault.code, 'timed_out');
    assert.equal(overdue({ ...idle, actions: [done(9), pending] }, agent), undefined);
    assert.equal(overdue({ ...idle, actions: [done(10), pending] }, { ...agent, isSettled: false }), undefined);
    assert.equal(
      overdue({ ...idle, actions: [done(10), { ...pending, state: 'running', startedAt: now }] }, agent),
      undefined,
    );
  });

  it('waits for an agent that may still have to deliver', () => {
    const late = { ...running, actions: startedLongAgo, rendered: limited, startedAt: minutesAgo(10) };
    assert.equal(overdue(late, { ...agent, isSettled: false }), undefined);
  });
});

describe('the command for a task', () => {
  const hardware: Hardware = {
    ...hardwareManifest('m1', 7, {
      interfaces: [{}, { dhcp: { mac: '02:00:00:00:00:07', vlan_id: '12' } }],
    }),
    version: 1,
    createdAt: now,
    stage: 'enrolled',
    stageAt: now,
    netboot: true,
    hasUserData: false,
  };

  it('names built-ins and leaves out what the record does not say', () => {
    const command = runTask(workflow('w', 1), hardware);

    assert.ok(command.kind === 'runTask');
    assert.deepEqual(
      command.actions.map(({ builtIn, timeoutMs }) => [builtIn, timeoutMs]),
      [
        ['image2disk', 60_000],
        ['writefile', 60_000],
      ],
    );
    assert.deepEqual(hardwareFacts(hardware), {
      hardware: 'm1',
      disks: [{ device: '/dev/vda' }],
      interfaces: [{ mac: '02:00:00:00:00:07', nameServers: [], vlanId: '12' }],
    });
  });

  it('tells what the record says of its disks, hints apart from paths', () => {
    const disks = [{ device: '/dev/sda' }, { device: '/dev/disk/by-hint/1', serial: 'X', minSize: 5 }];
    const facts = hardwareFacts({ ...hardware, spec: { ...hardware.spec, disks } });

    assert.deepEqual(facts.disks, [
      { device: '/dev/sda' },
      { device: '/dev/disk/by-hint/1', hints: { serial: 'X', minSize: 5 } },
    ]);
  });

  it('is refused for an image that no built-in serves', () => {
    const { rendered } = plannedWorkflow('w', ['m1'], { images: ['nothing'] });
    assert.throws(() => runTask(workflow('w', 1, { rendered }), hardware), { code: 'unknown_action' });
  });
});
