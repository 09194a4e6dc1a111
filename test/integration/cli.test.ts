/** The command line as child processes against the admin API on the real store. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { type ApiWorld, addMachine, bootMachine, runAction, startApiWorld } from '#test/support/api-world.ts';
import { type CliProcess, runCliProcess, startCliProcess } from '#test/support/cli-process.ts';
import { hardwareManifest } from '#test/support/records.ts';

const run = promisify(execFile);
const DEAD_SERVER = { TINSMITH_SERVER: 'http://127.0.0.1:9', TINSMITH_TOKEN: 'x'.repeat(43) };
const CSV = `hostname,mac,ip_address,netmask,gateway,nameservers,labels,disk
node-1,52:54:00:12:34:56,10.0.0.11,255.255.255.0,10.0.0.1,10.0.0.1,type=cp,/dev/sda
`;

type Case = readonly [
  argv: readonly string[],
  code: number,
  sentence: RegExp,
  environment?: Readonly<Record<string, string | undefined>>,
];

describe('tinsmith: exit codes', () => {
  it('ends with the code of the table and says what is wrong and what to do', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    const wrongToken = { TINSMITH_TOKEN_FILE: undefined, TINSMITH_TOKEN: 'y'.repeat(43) };
    const cases: Case[] = [
      [['aply', '-f', 'x'], 64, /there is no command "aply" \(did you mean "apply"\?\)/],
      [['workflow', 'cancle', 'x'], 64, /"cancle" \(did you mean "cancel"\?\): use one of cancel, retry/],
      [['get', 'hardwares'], 64, /"hardwares" is no kind of record here \(did you mean "hardware"\?\)/],
      [['get', 'hw', '--outptu', 'json'], 64, /no option --outptu \(did you mean "output"\?\)/],
      [['get', 'hw', '-o', 'jsn'], 64, /-o is "jsn" \(did you mean "json"\?\): use one of table, wide/],
      [['get', 'hw', '-o'], 64, /-o needs a value/],
      [['get'], 64, /get needs KIND/],
      [['delete', 'hw'], 64, /delete needs KIND NAME/],
      [['describe', 'events', 'a'], 64, /"events" is no kind of record here/],
      [['watch', '--timeout', '5 minutes'], 64, /use a time like 90s/],
      [['apply'], 64, /no file is named/],
      [['apply', '-f', '/nope/a.yaml'], 66, /there is no file \/nope\/a.yaml/],
      [['get', 'hw', 'none'], 66, /there is no Hardware "none"/],
      [['watch', 'none'], 66, /no Hardware and no Workflow "none"/],
      [['logs', 'none'], 66, /there is no Workflow "none"/],
      [['delete', 'hw', 'one'], 75, /pending on it/],
      [['workflow', 'retry', 'one'], 75, /./],
      [['get', 'hw', '--token-file', '/nope'], 77, /cannot read the admin token in \/nope: ENOENT/],
      [['get', 'hw'], 77, /no valid token/, wrongToken],
      [['get', 'hw', '--server', 'nonsense'], 64, /the server "nonsense" is no URL/],
      [['get', 'hw'], 69, /cannot reach the server at http:\/\/127.0.0.1:9: .*tinsmith serve/, DEAD_SERVER],
    ];
    const check = async ([argv, code, sentence, environment = {}]: Case): Promise<void> => {
      const result = await runCliProcess(world, argv, { environment });
      assert.equal(result.code, code, `${argv.join(' ')}: ${result.stderr}`);
      assert.match(result.stderr, /^error: /m);
      assert.match(result.stderr, sentence);
      assert.equal(result.stdout, '');
    };

    while (cases.length > 0) await Promise.all(cases.splice(0, 4).map(check));
  });

  it('prints every problem of every file with its place before the error', async () => {
    await using world = await startApiWorld();
    const text = CSV.replace('52:54:00:12:34:56', 'no-mac').replace('255.255.255.0', '255.0.255.0');

    const local = await runCliProcess(undefined, ['validate', '-f', '-'], { input: text });
    const remote = await runCliProcess(world, ['apply', '-f', '-'], { input: text });

    for (const { code, stderr, stdout } of [local, remote]) {
      assert.equal(code, 65, stderr);
      assert.equal(stdout, '');
      const lines = stderr.trimEnd().split('\n');
      assert.match(lines.at(-1) ?? '', /^error: .*2 problems/);
      assert.ok(
        lines.some((line) => /^-:2:8: .*no-mac/.test(line)),
        stderr,
      );
      assert.ok(
        lines.some((line) => /^-:2:\d+: .*255\.0\.255\.0/.test(line)),
        stderr,
      );
    }
    assert.deepEqual(await world.store.listHardware(), []);
  });
});

describe('tinsmith: records', () => {
  it('prints records as table, JSON, YAML and names', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one', 1);
    await addMachine(world, 'two', 2);
    const get = async (...argv: string[]) => (await runCliProcess(world, ['get', ...argv])).stdout;

    const table = (await get('hw')).split('\n');
    const json = JSON.parse(await get('hardware', '-o', 'json'));
    const yaml = parse(await get('wf', 'one', '-o', 'yaml'));

    assert.match(table[0] ?? '', /^NAME +STAGE +SINCE +MAC +ADDRESS +NETBOOT +CLUSTER$/);
    assert.match(table[1] ?? '', /^one +discovered +\S+ +02:00:00:00:00:01 +10\.9\.0\.1 +on$/);
    assert.deepEqual(
      json.items.map(({ name }: { name: string }) => name),
      ['one', 'two'],
    );
    assert.equal(yaml.name, 'one');
    assert.equal(yaml.tasks[0].actions.length, 2);
    assert.equal(await get('templates', '-o', 'name'), 'template/one-template\ntemplate/two-template\n');
    assert.equal(await get('hw', '-l', 'rack=b', '-o', 'name'), '');
    assert.match(await get('hw', '-o', 'wide'), /LABELS.*\n.*rack=a/);
    assert.match(await get('events', 'two', '--tail', '1'), /^00:00:00 {2}two +workflow two created\n$/);
  });

  it('applies files, folders and standard input, and shows with a dry run what it would do', async () => {
    await using world = await startApiWorld();
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-cli-'));
    try {
      await mkdir(join(folder, 'site'));
      await writeFile(join(folder, 'site/hardware.csv'), CSV);
      await writeFile(join(folder, 'site/notes.txt'), 'not a manifest');

      const dry = await runCliProcess(world, ['apply', '-f', 'site', '--dry-run'], { cwd: folder });
      const nothing = await world.store.listHardware();
      const real = await runCliProcess(world, ['apply', '-f', 'site'], { cwd: folder });
      const again = await runCliProcess(world, ['apply', '-f', '-', '-o', 'json'], { input: CSV });

      assert.equal(dry.stdout, 'hardware/node-1 created (dry run)\n', dry.stderr);
      assert.deepEqual(nothing, []);
      assert.equal(real.stdout, 'hardware/node-1 created\n', real.stderr);
      assert.equal(JSON.parse(again.stdout).records[0].outcome, 'unchanged');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('cancels, retries and deletes, and switches network boot', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    const said = async (...argv: string[]) => (await runCliProcess(world, argv)).stdout;

    const cancelled = await said('workflow', 'cancel', 'one', '--reason', 'wrong disk');
    const reason = (await world.store.workflow('one'))?.error?.message;
    const retried = await said('workflow', 'retry', 'one');
    const off = await said('hardware', 'netboot', 'one', 'off');
    const deleted = [await said('delete', 'wf', 'one'), await said('delete', 'hw', 'one'), await said('get', 'hw')];

    assert.equal(cancelled, 'workflow/one cancelled\n');
    assert.match(reason ?? '', /wrong disk/);
    assert.equal(retried, 'workflow/one pending, attempt 2\n');
    assert.equal(off, 'hardware/one network boot off\n');
    assert.deepEqual(deleted, ['workflow/one deleted\n', 'hardware/one deleted\n', '']);
  });

  it('validates without a server', async () => {
    const { code, stdout } = await runCliProcess(undefined, ['validate', '-f', '-'], {
      input: CSV,
      environment: DEAD_SERVER,
    });

    assert.deepEqual([code, stdout], [0, 'valid: 1 hardware, 0 templates, 0 workflows, 0 clusters in 1 file\n']);
  });

  it('describes a workflow with the time of every action and where the time went', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await bootMachine(world, 'one');
    await runAction(world, 'one', 0);
    await runAction(world, 'one', 1, 'the image has other bytes');

    const { stdout } = await runCliProcess(world, ['describe', 'workflow', 'one']);
    const machine = await runCliProcess(world, ['describe', 'hw', 'one']);

    assert.match(stdout, /^State +failed after 20\.0s$/m);
    assert.match(stdout, /^ +\+0\.0s {2}waiting for the machine to boot +3\.0s/m);
    assert.match(stdout, /^ +\+3\.0s {2}boot environment starts +9\.0s/m);
    assert.match(stdout, /^ +\+12\.5s {2}image2disk-0 +10\.0s .* succeeded$/m);
    assert.match(
      stdout,
      /^ +\+22\.5s {2}writefile-1 +10\.0s .* failed\n +checksum_mismatch: the image has other bytes/m,
    );
    assert.match(stdout, /^Where the time went: .*image2disk-0 31 %/m);
    assert.match(machine.stdout, /^Stage +failed for/m);
    assert.match(machine.stdout, /^User data +yes \(never shown\)$/m);
  });
});

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

    const { code, stderr } = await runCliProcess(world, ['watch', '--until', 'installed', '--timeout', '300ms']);

    assert.equal(code, 69);
    assert.match(stderr, /^error: not installed within 300ms: workflow one is pending \(action 0\/2\)\n$/);
  });

  it('comes back to a watch after the server was away, without losing an event', async () => {
    const first = await startApiWorld();
    const port = Number(new URL(first.url).port);
    await addMachine(first, 'one');
    await using watch = startCliProcess(first, ['watch', '-o', 'json', '--timeout', '60s'], {
      environment: { TINSMITH_TOKEN: first.token },
    });
    await untilWatching(first, watch);

    await first[Symbol.asyncDispose]();
    await using second = await startApiWorld({ port, token: first.token });
    // A store of its own, whose ids begin again: what comes after the last seen id is new.
    for (let round = 0; round < 60; round += 1)
      await second.transitions.apply(hardwareOnly(`m${round}`, round + 1), byOperator);
    await watch.printed('"hardware":"m59"');
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
      Array.from({ length: 20 }, (_, index) => 41 + index),
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

describe('tinsmith: the program', () => {
  it('never shows the token, not even in its arguments', async () => {
    await using world = await startApiWorld();
    const environment = { TINSMITH_TOKEN: world.token, TINSMITH_TOKEN_FILE: undefined, TINSMITH_DEBUG: '1' };
    const commands = [
      ['get', 'hw', '-o', 'json'],
      ['get', 'hw', 'none'],
      ['describe', 'wf', 'none'],
      ['version', '--remote'],
    ];

    for (const argv of commands) {
      const { stdout, stderr } = await runCliProcess(world, argv, { environment });
      assert.equal(`${stdout}${stderr}`.includes(world.token), false, argv.join(' '));
    }
    await using watch = startCliProcess(world, ['watch'], { environment });
    await untilWatching(world, watch);
    assert.equal((await readFile(`/proc/${watch.child.pid}/cmdline`, 'utf8')).includes(world.token), false);
  });

  it('prints completion scripts that bash can read', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-cli-'));
    try {
      for (const shell of ['bash', 'zsh']) {
        const { stdout } = await runCliProcess(undefined, ['completion', shell]);
        await writeFile(join(folder, shell), stdout);
        await run('bash', ['-n', join(folder, shell)]);
      }
      const script = `source ${join(folder, 'bash')}; COMP_WORDS=(tinsmith workflow re); COMP_CWORD=2; _tinsmith; echo "\${COMPREPLY[@]}"
        COMP_WORDS=(tinsmith get hw -o ya); COMP_CWORD=4; _tinsmith; echo "\${COMPREPLY[@]}"
        COMP_WORDS=(tinsmith watch --unt); COMP_CWORD=2; _tinsmith; echo "\${COMPREPLY[@]}"
        COMP_WORDS=(tinsmith de); COMP_CWORD=1; _tinsmith; echo "\${COMPREPLY[@]}"`;
      const { stdout } = await run('bash', ['-c', script]);
      assert.equal(stdout, 'retry\nyaml\n--until\ndescribe delete\n');
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('serves until it is told to stop, and refuses a setting that it cannot use', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-cli-'));
    try {
      const ports = ['http', 'metadata', 'grpc', 'admin', 'tftp'].flatMap((name) => [`--${name}-port`, '0']);
      const argv = ['serve', '--data-dir', folder, '--address', '127.0.0.1', '--dhcp-mode', 'off', ...ports];
      await using server = startCliProcess(undefined, argv);
      const lines = createInterface({ input: server.child.stdout });
      let url = '';
      let said = '';
      for await (const line of lines) {
        said += line;
        url = JSON.parse(line).admin ?? '';
        if (url !== '') break;
      }

      const environment = { TINSMITH_SERVER: url, TINSMITH_TOKEN_FILE: join(folder, 'admin.token') };
      const version = await runCliProcess(undefined, ['version', '--remote'], { environment });
      server.child.kill('SIGTERM');
      const stopped = await server.result;
      const wrong = await runCliProcess(undefined, ['serve', '--http-port', 'eighty']);

      assert.match(said, /"file":"vmlinuz","fix":"[^"]*initramfs build[^"]*","msg":"boot.fileMissing"/);
      assert.match(version.stdout, /^server \d+\.\d+\.\d+/m, version.stderr);
      assert.deepEqual([stopped.code, stopped.stderr], [0, '']);
      assert.equal(wrong.code, 65);
      assert.match(wrong.stderr, /^error: --http-port .*"eighty"/);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('says what keeps it from starting when a port or folder is not free', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-cli-'));
    const taken = createServer().listen(0, '127.0.0.1');
    try {
      await once(taken, 'listening');
      const address: AddressInfo | string | null = taken.address();
      assert.ok(typeof address === 'object' && address !== null);
      await writeFile(join(folder, 'file'), '');
      const common = ['--address', '127.0.0.1', '--dhcp-mode', 'off'];
      const grpc = ['--grpc-port', String(address.port)];
      const port = await runCliProcess(undefined, ['serve', ...common, '--data-dir', folder, ...grpc]);
      const place = await runCliProcess(undefined, ['serve', ...common, '--data-dir', join(folder, 'file', 'data')]);

      assert.equal(port.code, 75, port.stderr);
      assert.match(port.stderr, new RegExp(`^error: cannot listen on 127.0.0.1 port ${address.port}: .*EADDRINUSE`));
      assert.equal(place.code, 74, place.stderr);
      assert.match(place.stderr, /^error: cannot use \S+\/file\/data: a part of the path is a file.*--data-dir/);
      for (const { stderr } of [port, place]) assert.doesNotMatch(stderr, /\n +at /, 'no stack for an operator');
    } finally {
      taken.close();
      await rm(folder, { recursive: true });
    }
  });

  it('starts from any folder through a link to its launcher, and knows its version', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tinsmith-cli-'));
    try {
      await symlink(resolve(import.meta.dirname, '../../scripts/tinsmith'), join(folder, 'tinsmith'));
      const { stdout } = await run(join(folder, 'tinsmith'), ['version'], { cwd: folder });
      assert.match(stdout, /^tinsmith \d+\.\d+\.\d+ \(node 24\./);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('shows an overview without arguments and help for every command', async () => {
    const overview = await runCliProcess(undefined, []);
    const help = await runCliProcess(undefined, ['workflow', 'cancel', '--help']);
    const same = await runCliProcess(undefined, ['help', 'workflow', 'cancel']);

    assert.equal(overview.code, 0);
    assert.match(overview.stdout, /workflow cancel/);
    assert.match(help.stdout, /tinsmith workflow cancel NAME \[options\]/);
    assert.equal(help.stdout, same.stdout);
    const group = await runCliProcess(undefined, ['image', '--help']);
    assert.deepEqual([group.code, (await runCliProcess(undefined, ['help', 'image'])).stdout], [0, group.stdout]);
    assert.match(group.stdout, /tinsmith image COMMAND[\s\S]*\n  image list +List/);
  });
});

const byOperator = { actor: 'operator' } as const;

function hardwareOnly(name: string, number: number) {
  return { hardware: [hardwareManifest(name, number)], templates: [], workflows: [] };
}

/** Makes small changes until the watch shows one: then it is connected. */
async function untilWatching(world: ApiWorld, watch: CliProcess): Promise<void> {
  const shown = watch.printed('\n').then(() => true);
  for (let round = 0; ; round += 1) {
    await world.transitions.apply(hardwareOnly('nudge', 200 + (round % 2)), byOperator);
    await world.transitions.setNetboot('one', round % 2 === 1, byOperator).catch(() => undefined);
    if (await Promise.race([shown, delay(100, false)])) break;
  }
}
