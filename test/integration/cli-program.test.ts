/** The command line as child processes against the admin API on the real store. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { startApiWorld } from '#test/support/api-world.ts';
import { runCliProcess, startCliProcess } from '#test/support/cli-process.ts';
import { untilWatching } from '#test/support/cli-watch.ts';

const run = promisify(execFile);

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
