/** The command line as child processes against the admin API on the real store. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { addMachine, bootMachine, runAction, startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess } from '#test/support/cli-process.ts';

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
      [['get', 'hw', '..'], 65, /nothing can be named "\.\.": a name has a letter/],
      [['describe', 'workflow', '.'], 65, /nothing can be named "\."/],
      [['delete', 'template', '..'], 65, /nothing can be named/],
      [['logs', '..'], 65, /nothing can be named/],
      [['image', 'show', '..'], 65, /nothing can be named/],
      [['image', 'verify', '..'], 65, /nothing can be named/],
      [['image', 'remove', '..'], 65, /nothing can be named/],
      [['image', 'show', ''], 64, /NAME is empty/],
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
