import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { fastify } from 'fastify';
import { runActionWithPolicy } from '#agent/actions/run-action.ts';
import { folderMachine } from '#agent/machine/folder-machine.ts';
import { readMultipart } from '#server/slurp/multipart.ts';
import { type SlurpRoutesOptions, slurpRoutes } from '#server/slurp/slurp-routes.ts';
import { type AgentWorld, startAgentWorld } from '#test/support/agent-world.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { hardwareManifest, macOf, plannedWorkflow } from '#test/support/records.ts';

const operator = { actor: 'operator' } as const;
const disk = diskImage();

interface Site extends AsyncDisposable {
  readonly world: AgentWorld;
  readonly url: string;
  readonly folder: string;
}

/** A server that takes disks, and machine m1 at 127.0.0.1 with a workflow of the given actions. */
async function startSite(
  images: readonly string[],
  limitBytes = 1 << 30,
  others: Pick<SlurpRoutesOptions, 'neighbours'> = {},
): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-slurp-'));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const world = stack.use(await startAgentWorld({ decides: true }));
  const dhcp = { mac: macOf(1), ip: { address: '127.0.0.1', netmask: '255.0.0.0' } };
  const hardware = [hardwareManifest('m1', 1, { interfaces: [{ dhcp }] })];
  const workflows = [plannedWorkflow('w', ['m1'], { images })];
  await world.opened.transitions.apply({ hardware, templates: [], workflows }, operator);
  const server = fastify();
  stack.defer(() => server.close());
  const store = world.opened.store;
  const options = { store, clock: () => new Date(), folder: join(folder, 'in'), limitBytes, ...others };
  await server.register(slurpRoutes(options));
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  const running = stack.move();
  return { world, url: `${url}/slurp`, folder, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** The agent of m1 runs its workflow; slurp for real, on a disk that is a file. Resolves with the error of the workflow. */
async function runWorkflow(site: Site, environment: Record<string, string>, during?: () => Promise<void>) {
  const machine = folderMachine({ folder: site.folder, disks: { '/dev/sda': disk.length } });
  await (await machine.openDisk('/dev/sda', { signal: AbortSignal.timeout(30_000) }))[Symbol.asyncDispose]();
  await writeFile(machine.diskFile('/dev/sda'), disk);
  const agent = site.world.startAgent(await site.world.settings(1), {
    runAction: async (call, context) => {
      if (call.builtIn !== 'slurp') return { outcome: 'succeeded', exitCode: 0, tries: 1 };
      await during?.();
      const given = { SOURCE_DISK: '/dev/sda', DEST_URL: site.url, IMG_NAME: 'disk.img', ...environment };
      return runActionWithPolicy({ ...call, environment: given }, { ...context, machine });
    },
  });
  const { store } = site.world.opened;
  for await (const _ of store.followEvents({ after: 0 }, AbortSignal.timeout(100_000))) {
    const workflow = await store.workflow('w');
    if (workflow?.state === 'succeeded' || workflow?.state === 'failed') {
      await agent.kill();
      return workflow.error;
    }
  }
  return assert.fail('the workflow did not end');
}

/** A form as curl sends it. */
async function post(url: string, fields: readonly (readonly [string, string | Blob, string?])[]) {
  const form = new FormData();
  for (const [name, value, fileName] of fields) {
    if (typeof value === 'string') form.append(name, value);
    else form.append(name, value, fileName);
  }
  const response = await fetch(url, { method: 'POST', body: form });
  return { status: response.status, text: await response.text() };
}

describe('slurp and the server', () => {
  for (const [name, environment, decode] of [
    ['as it is', {}, (bytes: Buffer) => bytes],
    ['as gzip', { COMPRESSED: 'true' }, (bytes: Buffer) => gunzipSync(bytes)],
    ['as zstd', { COMPRESSION: 'zstd' }, (bytes: Buffer) => zstdDecompressSync(bytes)],
  ] as const) {
    it(`bring a disk to the server ${name}`, async () => {
      await using site = await startSite(['slurp', 'reboot']);

      assert.equal(await runWorkflow(site, environment), undefined);

      const folder = join(site.folder, 'in/m1');
      assert.deepEqual(await readdir(folder), ['disk.img']);
      assert.ok(decode(await readFile(join(folder, 'disk.img'))).equals(disk));
      assert.equal((await stat(join(folder, 'disk.img'))).mode & 0o777, 0o600);
    });
  }

  it('keep nothing that is too long, and say so', async () => {
    await using site = await startSite(['slurp'], 1 << 20);

    const error = await runWorkflow(site, {});

    assert.match(error?.message ?? '', /400 the upload is longer than 1048576 bytes: raise slurp\.max/);
    assert.deepEqual(await readdir(join(site.folder, 'in/m1')), []);
  });
});

describe('the receiving end of slurp', () => {
  it('takes nothing from strangers and from machines that do not slurp', async () => {
    await using site = await startSite(['image2disk']);
    const file = ['BootyImage', new Blob(['x']), 'x'] as const;

    const idle = await post(site.url, [file]);

    assert.equal(idle.status, 403);
    assert.match(idle.text, /m1 runs no slurp action/);
    await site.world.opened.transitions.apply(
      { hardware: [hardwareManifest('m1')], templates: [], workflows: [] },
      operator,
    );
    assert.match((await post(site.url, [file])).text, /no machine has the address 127\.0\.0\.1/);
    assert.deepEqual(await readdir(site.folder), []);
  });

  it('takes nothing from somebody else who uses the address of a machine that slurps', async () => {
    const neighbours = { areOnLink: () => true, macOf: async () => '0e:00:00:00:00:99' };
    await using site = await startSite(['slurp'], 1 << 20, { neighbours });
    const answers: { status: number; text: string }[] = [];

    await runWorkflow(site, { IMG_NAME: 'mine.img' }, async () => {
      answers.push(await post(site.url, [['BootyImage', new Blob(['x']), 'x']]));
    });

    assert.equal(answers[0]?.status, 403);
    assert.match(answers[0]?.text ?? '', /127\.0\.0\.1 belongs to m1, and who uses it has the MAC 0e:00:00:00:00:99/);
    assert.deepEqual(await readdir(site.folder).then((names) => names.filter((name) => name === 'in')), []);
  });

  it('keeps a file only when it is whole and its SHA-256 is right', async () => {
    await using site = await startSite(['slurp']);
    const file = ['BootyImage', new Blob(['content']), 'x.raw'] as const;
    const sum = createHash('sha256').update('content').digest('hex');
    const answers: (readonly [number, string])[] = [];
    const folder = join(site.folder, 'in/m1');
    const note = async (answer: Promise<{ status: number; text: string }>): Promise<void> => {
      const { status, text } = await answer;
      answers.push([status, text]);
    };

    await runWorkflow(site, {}, async () => {
      await note(post(site.url, [file]));
      await note(post(site.url, [file, ['sha256', '0'.repeat(64)]]));
      await note(
        post(site.url, [
          ['BootyImage', new Blob(['x']), '../x'],
          ['sha256', sum],
        ]),
      );
      await note(post(site.url, [file, file, ['sha256', sum]]));
      await note(
        post(site.url, [
          ['other', 'x'],
          ['sha256', sum],
        ]),
      );
      const cut = `--b\r\nContent-Disposition: form-data; name="BootyImage"; filename="x.raw"\r\n\r\ncontent`;
      const headers = { 'content-type': 'multipart/form-data; boundary=b' };
      await note(
        fetch(site.url, { method: 'POST', body: cut, headers }).then(async (answer) => ({
          status: answer.status,
          text: await answer.text(),
        })),
      );
      assert.deepEqual(await readdir(folder), []);
      await note(post(site.url, [file, ['sha256', sum]]));
      assert.equal(await readFile(join(folder, 'x.raw'), 'utf8'), 'content');
      await note(
        post(site.url, [
          ['BootyImage', new Blob([]), 'x.raw'],
          ['sha256', createHash('sha256').digest('hex')],
        ]),
      );
      assert.equal(await readFile(join(folder, 'x.raw'), 'utf8'), '');
    });

    assert.deepEqual(
      answers.map(([status]) => status),
      [400, 422, 400, 400, 400, 400, 200, 200],
    );
    assert.match(answers[5]?.[1] ?? '', /ends before its last boundary/);
    assert.match(answers[1]?.[1] ?? '', /7 bytes with the SHA-256/);
  });

  it('finds boundaries wherever the network cuts, and takes what looks like one for content', async () => {
    const content = 'a\r\n--other\r\n--boundar\r--boundary\n--\r\n';
    const head = 'Content-Disposition: form-data; name="f"; filename="n"\r\nContent-Type: x/y';
    const form = Buffer.from(`ignored\r\n--boundary\r\n${head}\r\n\r\n${content}\r\n--boundary--\r\nignored`);
    for (let size = 1; size < form.length; size++) {
      const pieces = Array.from({ length: Math.ceil(form.length / size) }, (_, index) =>
        form.subarray(index * size, (index + 1) * size),
      );
      let found = '';

      await readMultipart(
        (async function* () {
          yield* pieces;
        })(),
        'boundary',
        {
          part: async (part) => {
            found += `${part.name} ${part.fileName ?? ''}:`;
          },
          data: async (bytes) => {
            found += bytes.toString();
          },
        },
      );

      assert.equal(found, `f n:${content}`);
    }
  });
});
