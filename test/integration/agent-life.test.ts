import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { TaskRunOptions } from '#agent/task-run.ts';
import { TinsmithError } from '#proto/errors.ts';
import { startAgentWorld, succeeded } from '#test/support/agent-world.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';

describe('an agent', () => {
  it('lets the machine go down only after every report is acknowledged', async () => {
    await using world = await startAgentWorld();
    const store = Promise.withResolvers<void>();
    world.engine.beforeReport = async (report) => {
      if (report.kind === 'actionFinished') await store.promise;
    };
    world.engine.command('m1', runTaskCommand('w', [{ builtIn: 'reboot' }]));
    const agent = world.startAgent(await world.settings(1), { runAction: requestReboot });
    await world.engine.until(() => world.engine.story().length === 2, 'the action');

    const early = await Promise.race([agent.end, delay(300, 'still up')]);
    store.resolve();
    const power = await agent.end;

    assert.equal(early, 'still up');
    assert.equal(power, 'reboot');
    assert.equal(world.engine.story().at(-1), 'finished 0 succeeded');
  });

  it('does not go down for a task that failed after it had asked for it', async () => {
    await using world = await startAgentWorld();
    world.engine.command('m1', runTaskCommand('w', [{}, {}]));
    let runs = 0;
    const agent = world.startAgent(await world.settings(1), {
      runAction: async (call, context) => {
        runs += 1;
        if (runs === 1) return requestReboot(call, context);
        return { outcome: 'failed', exitCode: 1, error: new TinsmithError('command_failed', 'no'), tries: 1 };
      },
    });
    await world.engine.until(() => world.engine.story().length === 5, 'the end of the task');

    world.engine.command('m1', { kind: 'powerOff' });

    assert.equal(await agent.end, 'poweroff');
  });

  it('gives up when the server stays away, but not while an action runs', async () => {
    await using world = await startAgentWorld();
    const action = Promise.withResolvers<void>();
    world.engine.command('m1', runTaskCommand('w', [{}]));
    const agent = world.startAgent(await world.settings(1, { giveUpMs: 300 }), {
      runAction: async () => action.promise.then(() => succeeded),
    });
    await world.engine.until(() => world.engine.story().length === 2, 'the action');

    await world.stopService();
    const early = await Promise.race([agent.end, delay(1500, 'still there')]);
    action.resolve();

    assert.equal(early, 'still there');
    await assert.rejects(agent.end, isCode('unavailable'));
  });

  it('gives up when there never was a server', async () => {
    await using world = await startAgentWorld();
    await world.stopService();

    const agent = world.startAgent(await world.settings(1, { giveUpMs: 300 }));

    await assert.rejects(agent.end, isCode('unavailable'));
    assert.ok(agent.said.some((line) => line.includes('trying again')));
  });

  it('does not show its token to a server whose CA is not the one it was booted to trust', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1, { ca: 'a'.repeat(64) });

    const agent = world.startAgent(settings);

    await assert.rejects(agent.end, isCode('unauthenticated'));
    const rightly = world.startAgent({ ...settings, ca: world.ca.fingerprint });
    await world.engine.until(() => world.engine.connects.length === 1, 'the token is still good');
    await rightly.kill();
  });

  it('does not show its token to a server that another authority vouches for', async () => {
    await using world = await startAgentWorld();
    await using impostor = await startAgentWorld();
    const settings = await world.settings(1, { server: `127.0.0.1:${impostor.port}`, giveUpMs: 300 });

    await assert.rejects(world.startAgent(settings).end, isCode('unavailable'));

    assert.equal((await impostor.opened.store.events({ names: ['enroll.refused'] })).length, 0);
  });

  it('stops when the server refuses its token, and says why', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1, { token: 'a'.repeat(43) });

    await assert.rejects(world.startAgent(settings).end, isCode('unauthenticated'));
  });

  it('stops when its identity is not taken any more', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1);
    const agent = world.startAgent(settings);
    await world.engine.until(() => world.engine.connects.length === 1, 'a connection');

    world.clock.offsetMs = 25 * 3600_000;
    await world.stopService();
    await world.startService();

    await assert.rejects(agent.end, isCode('unauthenticated'));
  });

  it('renews its certificate before it ends, and keeps the new one for the next process', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1);
    // The machine is up for seventeen hours as soon as it has enrolled.
    let asked = 0;
    const uptime = (): number => (asked++ === 0 ? 0 : 17 * 3600);
    // TLS itself looks at the real clock, where the first certificate has seven hours left.
    world.clock.offsetMs = -17 * 3600_000;
    const agent = world.startAgent(settings, { uptime });
    await world.engine.until(() => world.engine.connects.length === 1, 'a connection');
    world.clock.offsetMs = 0;
    await renewed(settings.runDir);
    await agent.kill();

    world.clock.offsetMs = 20 * 3600_000;
    const next = world.startAgent(settings, { uptime: () => 17 * 3600 });
    await world.engine.until(() => world.engine.connects.length === 2, 'a connection with the renewed certificate');

    assert.ok(next.said.includes('enrolled as m1'));
  });

  it('tells what the machine is made of when it is asked', async () => {
    await using world = await startAgentWorld();
    world.engine.command('m1', { kind: 'collectInventory' });

    world.startAgent(await world.settings(1));
    await world.engine.until(() => world.engine.stored.length === 1, 'an inventory');

    const report = world.engine.stored[0]?.report;
    assert.ok(report?.kind === 'inventory');
    assert.ok(report.inventory.memoryBytes > 0);
    assert.equal(report.inventory.cpu.threads > 0, true);
  });

  it('dates its reports by the server’s clock', async () => {
    await using world = await startAgentWorld();
    // As far as a day's certificate can be wrong for TLS, which looks at the real clock.
    const offsetMs = -20 * 3600_000;
    world.clock.offsetMs = offsetMs;
    world.engine.command('m1', runTaskCommand('w', [{}]));

    world.startAgent(await world.settings(1));
    await world.engine.until(() => world.engine.story().length === 3, 'a task');

    const report = world.engine.stored.at(-1)?.report;
    assert.ok(report?.kind === 'actionFinished');
    const expected = Date.now() + offsetMs;
    assert.ok(Math.abs(report.result.at.getTime() - expected) < 60_000, report.result.at.toISOString());
  });
});

const requestReboot: TaskRunOptions['runAction'] = async (_, { requestPower }) => {
  requestPower('reboot');
  return succeeded;
};

/** Waits until the certificate in the identity file holds for a day from now. */
async function renewed(runDir: string): Promise<void> {
  const deadline = AbortSignal.timeout(60_000);
  for (;;) {
    const { identity } = JSON.parse(await readFile(`${runDir}/identity.json`, 'utf8'));
    const left = new X509Certificate(identity.certificate).validToDate.getTime() - Date.now();
    if (left > 23 * 3600_000) return;
    await delay(20, undefined, { signal: deadline });
  }
}

function isCode(code: string): (thrown: unknown) => boolean {
  return (thrown) => {
    assert.ok(thrown instanceof TinsmithError, String(thrown));
    assert.equal(thrown.code, code, thrown.message);
    return true;
  };
}
