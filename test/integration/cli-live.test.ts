/** The command line as child processes against the admin API on the real store. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { addMachine, bootMachine, runAction, startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess, startCliProcess } from '#test/support/cli-process.ts';
import { hardwareOnly, untilWatching } from '#test/support/cli-watch.ts';
import { quietPort } from '#test/support/quiet-port.ts';

const byOperator = { actor: 'operator' } as const;

describe('tinsmith: live', () => {
  it('watches a machine with plain lines until it is installed', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await using watch = startCliProcess(world, ['watch', 'one', '--until', 'installed', '--timeout', '60s']);
    await untilWatching(world, watch);

    await bootMachine(world, 'one');
    await runAction(world, 'one', 0);
    await runAction(world, 'one', 1);
    const { code, stdout, stderr } = await watch.result;

    assert.equal(code, 0, stderr);
    const told = [
      'booting',
      'enrolled',
      'provisioning',
      '"image2disk-0" started',
      '"writefile-1" succeeded',
      'installed',
    ];
    const places = told.map((text) => stdout.indexOf(text));
    assert.ok(
      places.every((place, index) => place > (places[index - 1] ?? -1)),
      stdout,
    );
    assert.match(stdout, /"image2disk-0": 476\.8 MiB of 953\.7 MiB \(50 %\), 95\.4 MiB\/s/);
    assert.equal(stdout.includes('\u001b'), false);
  });

  it('ends a watch with the exit code of the failure', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await bootMachine(world, 'one');
    await using watch = startCliProcess(world, ['watch', 'one', '--until', 'finished', '--timeout', '60s']);
    await untilWatching(world, watch);

    await runAction(world, 'one', 0, 'the image has other bytes');
    const { code, stderr } = await watch.result;

    assert.equal(code, 65);
    assert.match(stderr, /^error: workflow one failed: .*the image has other bytes\n$/);
  });

  it('says at a time-out what is still missing', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');

    const { code, stderr } = await runCliProcess(world, ['watch', '--until', 'installed', '--timeout', '3s']);

    assert.equal(code, 69);
    assert.match(stderr, /^error: not installed within 3s: workflow one is pending \(action 0\/2\)\n$/);
  });

  it('comes back to a watch after the server was away, without losing an event', async () => {
    const port = await quietPort();
    const first = await startApiWorld({ port });
    await addMachine(first, 'one');
    await using watch = startCliProcess(first, ['watch', '-o', 'json', '--timeout', '60s'], {
      environment: { TINSMITH_TOKEN: first.token },
    });
    await untilWatching(first, watch);
    const [newest] = (await first.store.events()).slice(-1);

    await first[Symbol.asyncDispose]();
    await using second = await startApiWorld({ port, token: first.token });
    // A store of its own, whose ids begin again: what comes after the last seen id is new.
    const total = (newest?.id ?? 0) + 20;
    for (let round = 1; round <= total; round += 1)
      await second.transitions.apply(hardwareOnly(`m${round}`, round), byOperator);
    await watch.printed(`"hardware":"m${total}"`);
    watch.child.kill('SIGINT');
    const { stdout } = await watch.result;

    const ids = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).id as number);
    assert.deepEqual(
      ids,
      ids.toSorted((a, b) => a - b),
    );
    assert.equal(new Set(ids).size, ids.length);
    assert.deepEqual(
      ids.slice(-20),
      Array.from({ length: 20 }, (_, index) => total - 19 + index),
    );
  });

  it('follows a log to its end and lets no machine write to the terminal', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await bootMachine(world, 'one');
    await runAction(world, 'one', 0);
    await using logs = startCliProcess(world, ['logs', '-f', 'one']);
    await logs.printed('line of action 0');

    await runAction(world, 'one', 1);
    const { code, stdout } = await logs.result;

    assert.equal(code, 0);
    assert.equal(
      stdout,
      '== image2disk-0 (attempt 1) ==\nline of action 0 ·[31m\n== writefile-1 (attempt 1) ==\nline of action 1 ·[31m\n',
    );
  });

  it('ends quietly when the user has seen enough', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await using watch = startCliProcess(world, ['watch']);
    await untilWatching(world, watch);

    watch.child.kill('SIGINT');
    const { code, stderr } = await watch.result;

    assert.deepEqual([code, stderr], [130, '']);
  });
});
