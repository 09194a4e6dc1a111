import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { BootSettings } from '#agent/boot-settings.ts';
import { startAgentWorld } from '#test/support/agent-world.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';

const MAIN = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

/** The agent as the init starts it: its own process with the real actions. */
describe('the agent process', () => {
  it('enrolls, runs a task, leaves a power request and ends with 0', async () => {
    await using world = await startAgentWorld();
    world.engine.command('m1', runTaskCommand('w', [{ name: 'restart', builtIn: 'reboot' }]));
    const settings = await world.settings(1);

    await using agent = startProcess(settings);
    const code = await agent.ended;

    const output = agent.output();
    assert.equal(code, 0, output);
    assert.equal(await readFile(`${settings.runDir}/power`, 'utf8'), 'reboot\n');
    assert.deepEqual(world.engine.story(), ['accepted', 'started 0', 'finished 0 succeeded']);
    assert.match(output, /^tinsmith-agent: enrolled as m1$/m);
    assert.match(output, /^tinsmith-agent: action 1 of 1, restart: started$/m);
    assert.ok(!output.includes(settings.token), 'the token is on the console');
    assert.equal((await stat(`${settings.runDir}/identity.json`)).mode & 0o777, 0o600);
  });

  it('ends with 69 when no server answers', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1, { giveUpMs: 1000 });
    await world.stopService();

    await using agent = startProcess(settings);

    assert.equal(await agent.ended, 69, agent.output());
    assert.match(agent.output(), /gave up after 1 s/);
  });

  it('ends with 69 when the server does not take its token, and says why', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1, { token: 'a'.repeat(43), giveUpMs: 1000 });

    await using agent = startProcess(settings);

    assert.equal(await agent.ended, 69, agent.output());
    assert.match(agent.output(), /the boot token is not valid/);
    assert.ok(!agent.output().includes(settings.token));
  });

  it('goes on as a new session of the same machine after it was killed', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1);
    await using first = startProcess(settings);
    await world.engine.until(() => world.engine.connects.length === 1, 'the first process');
    await first.kill();

    world.engine.command('m1', runTaskCommand('w', [{ builtIn: 'reboot' }], 2));
    await using second = startProcess(settings);

    assert.equal(await second.ended, 0, second.output());
    assert.equal(world.engine.connects.length, 2);
  });

  it('says what is missing on the kernel command line', async () => {
    await using world = await startAgentWorld();
    const settings = await world.settings(1, { ca: 'none' });

    await using agent = startProcess(settings);

    assert.equal(await agent.ended, 64);
    assert.match(agent.output(), /tinsmith\.ca=/);
  });
});

interface AgentChild extends AsyncDisposable {
  readonly ended: Promise<number | null>;
  output(): string;
  kill(): Promise<void>;
}

function startProcess(settings: BootSettings): AgentChild {
  const child = spawn(process.execPath, [MAIN], {
    env: {
      PATH: process.env['PATH'],
      TINSMITH_SERVER: settings.server,
      TINSMITH_HTTP: settings.http,
      TINSMITH_TOKEN: settings.token,
      TINSMITH_CA: settings.ca,
      TINSMITH_MAC: settings.mac,
      TINSMITH_GIVEUP: String(settings.giveUpMs / 1000),
      TINSMITH_RUN_DIR: settings.runDir,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const chunks: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  const ended = endOf(child);
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  return {
    ended,
    output: () => Buffer.concat(chunks).toString(),
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

async function endOf(child: ChildProcess): Promise<number | null> {
  await once(child, 'close');
  return child.exitCode;
}
