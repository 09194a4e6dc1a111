/** Agents and servers of different versions: what one does not know harms nobody, and what is missing is said. */
import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { commandOf, reportMessage } from '#agent/link-wire.ts';
import type { HardwareFacts } from '#proto/actions/facts.ts';
import { AgentMessageSchema, ServerMessageSchema } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import type { WorkflowView } from '#server/api/types.ts';
import { reportOf, serverMessageOf } from '#server/provision/agent-wire.ts';
import { startAgentWorld } from '#test/support/agent-world.ts';
import { diskImage } from '#test/support/disk-image.ts';
import { olderWire } from '#test/support/older-wire.ts';
import { openRawAgent } from '#test/support/raw-agent.ts';
import { runTaskCommand } from '#test/support/recording-engine.ts';
import { Site } from '#test/support/site.ts';
import { makeAuthority } from '#test/support/site-authority.ts';

const MIB = 1 << 20;
const IMAGE = diskImage();
const task = { workflow: 'w', attempt: 1, task: 0 };
const newest: HardwareFacts = {
  hardware: 'm1',
  interfaces: [],
  disks: [{ device: '/dev/vda' }],
  library: { publicKey: 'PEM', mirrors: ['http://10.0.0.1/'], peers: true, authorities: 'PEM' },
};

/** What servers said before 24 November 2026, and before the library. */
function withoutExtras({ hardware, interfaces, library }: HardwareFacts): HardwareFacts {
  if (library === undefined) return { hardware, interfaces };
  const { publicKey, mirrors } = library;
  return { hardware, interfaces, library: { publicKey, mirrors } };
}
function withoutLibrary({ hardware, interfaces }: HardwareFacts): HardwareFacts {
  return { hardware, interfaces };
}

/** Whoever connects must trust the site's authority. */
async function tlsMirror(folder: string) {
  const mirror = { refusals: 0, url: '', [Symbol.asyncDispose]: () => stop() };
  const server = createServer(makeAuthority(folder), (_, response) => void response.writeHead(404).end());
  server.on('tlsClientError', () => void (mirror.refusals += 1));
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => void server.close(resolve));
  };
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  mirror.url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  return mirror;
}

/** As the workflow ended; one that tries a download again and again is cancelled. */
async function ended(site: Site): Promise<WorkflowView> {
  await site.until(
    async () => ({ ...(await site.workflow('m1')), log: (await site.cli('logs', 'm1')).stdout }),
    ({ state, log }) => state === 'succeeded' || state === 'failed' || /again in 1 s/.test(log),
  );
  if ((await site.workflow('m1')).state === 'running') await site.cli('workflow', 'cancel', 'm1');
  return site.until(
    () => site.workflow('m1'),
    ({ state }) => state === 'succeeded' || state === 'failed' || state === 'cancelled',
  );
}

/** A server with all that is new, and a machine whose agent, or whose server, does not know it. */
async function installOver(
  facts: (facts: HardwareFacts) => HardwareFacts,
  environment: (mirror: string) => Record<string, string>,
) {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tinsmith-versions-'));
  await using mirror = await tlsMirror(folder.path);
  await using site = await Site.start({
    'tls-ca': join(folder.path, 'ca.pem'),
    'library-mirrors': mirror.url,
    'library-peers': 'true',
  });
  await writeFile(join(folder.path, 'a.raw'), IMAGE);
  const added = await site.cli('image', 'add', 'a', join(folder.path, 'a.raw'));
  assert.equal(added.code, 0, added.stderr);
  using _ = olderWire(facts);
  await site.install(1, environment(mirror.url));
  const machine = await site.boot(1);
  const workflow = await ended(site);
  const disk = await machine.disk();
  const { stdout: log } = await site.cli('logs', 'm1');
  return { workflow, disk, log, refusals: mirror.refusals };
}

describe('an agent and a server of different versions', { timeout: 120_000 }, () => {
  it('write an image of the library from the server where nobody tells of authorities and peers', async () => {
    const { workflow, disk, log, refusals } = await installOver(withoutExtras, () => ({ IMG_URL: 'library:a' }));

    assert.equal(workflow.state, 'succeeded', log);
    assert.ok(disk.subarray(MIB, IMAGE.length - MIB).equals(IMAGE.subarray(MIB, IMAGE.length - MIB)));
    assert.ok(refusals > 0, 'the mirror was asked first');
    assert.match(log, /certificate/);
  });

  it('say that a certificate is not trusted where nobody tells of authorities, and go on', async () => {
    const { workflow, disk, log } = await installOver(withoutExtras, (url) => ({ IMG_URL: `${url}image.raw` }));

    assert.equal(workflow.state, 'cancelled');
    assert.match(log, /download interrupted at byte 0 \(.*certificate.*\), again in/);
    assert.ok(disk.equals(Buffer.alloc(disk.length)));
  });

  it('say that there is no library where the server tells of none', async () => {
    const { workflow } = await installOver(withoutLibrary, () => ({ IMG_URL: 'library:a' }));

    assert.equal(workflow.state, 'failed');
    assert.match(
      JSON.stringify(workflow),
      /cannot write library:sha256-[0-9a-f]{64}: this server has no image library/,
    );
  });

  it('understand each other by the first contract, whatever the newer one says besides', async () => {
    await using world = await startAgentWorld({ peers: true });
    using _ = olderWire();
    using agent = await openRawAgent(world);
    world.engine.command('m1', { ...runTaskCommand('w', [{}]), facts: newest });
    agent.hello();
    await agent.until(() => agent.received.some(({ body }) => body.case === 'runTask'));
    agent.send(1, { case: 'taskAccepted', value: { task } });
    // The newer one's alone, which the older one's wire leaves nothing of.
    agent.send(0, { case: 'peerOffer', value: { digest: 'a'.repeat(64), port: 1, frames: 1 } });
    agent.send(2, { case: 'actionFinished', value: { task, action: 0, outcome: 1 } });

    await agent.until(() => agent.acknowledged() === 2);

    assert.deepEqual(world.engine.story(), ['accepted', 'finished 0 succeeded']);
    assert.ok(agent.received.every(({ $unknown }) => $unknown === undefined));
  });
});

describe('a message of a newer version', () => {
  /** Field 900: a number; field 901: bytes that could be a message of any kind. */
  const unknown = Buffer.from([0xa0, 0x38, 0x01, 0xaa, 0x38, 0x02, 0x08, 0x07]);

  it('is the same task to an agent, with fields and facts that it does not know', () => {
    const command = runTaskCommand('w', [{}]);
    const facts = { ...newest, weather: { rain: true } };

    const bytes = Buffer.concat([toBinary(ServerMessageSchema, serverMessageOf({ ...command, facts })), unknown]);

    assert.deepEqual(commandOf(fromBinary(ServerMessageSchema, bytes)), { ...command, facts });
  });

  it('is the same report to a server, with fields that it does not know', () => {
    const at = new Date();
    const report = { kind: 'actionStarted', task, action: 0, at } as const;

    const bytes = Buffer.concat([toBinary(AgentMessageSchema, reportMessage(1, report)), unknown]);

    assert.deepEqual(reportOf(fromBinary(AgentMessageSchema, bytes), at), report);
  });

  it('is nothing to either, if it is of a kind that it does not know', () => {
    assert.equal(commandOf(fromBinary(ServerMessageSchema, unknown)), undefined);
    assert.equal(reportOf(fromBinary(AgentMessageSchema, unknown), new Date()), undefined);
  });
});
