import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import pino from 'pino';
import { linksToldOnce } from '#server/boot/link-outside.ts';
import { startTftpServer, type TftpServer, type TftpServerOptions } from '#server/boot/tftp-server.ts';

const LIMIT = { timeout: 60_000 };
let folder = '';
let server: TftpServer;

function patternBytes(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) bytes.writeUInt32LE(Math.imul(at, 2_654_435_761) >>> 0, at);
  return bytes;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tinsmith-tftp-'));
  const root = join(folder, 'root');
  await mkdir(join(root, 'sub'), { recursive: true });
  await mkdir(join(folder, 'root-not'));
  await writeFile(join(folder, 'secret'), 'secret');
  await writeFile(join(folder, 'root-not', 'secret'), 'secret');
  await writeFile(join(root, 'empty'), '');
  await writeFile(join(root, 'small'), patternBytes(1000));
  await writeFile(join(root, 'exact'), patternBytes(1024));
  await writeFile(join(root, 'medium'), patternBytes(300_001));
  await writeFile(join(root, 'many'), patternBytes(65_540 * 8 + 3));
  await symlink('../secret', join(root, 'out'));
  await symlink(folder, join(root, 'dir-out'));
  await symlink('../small', join(root, 'sub', 'in'));
  server = await startTftpServer({ ...options([join(folder, 'missing'), root]), retryMs: 40 });
});

after(async () => {
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** A client with a window, as RFC 7440 describes it; `fault` says how often each datagram, in either direction, arrives. */
class Client implements AsyncDisposable {
  readonly #socket: Socket = createSocket('udp4');
  readonly #fault: () => number;
  readonly #repeat = new AbortController();
  peer = 0;

  constructor(fault: () => number = () => 1) {
    this.#fault = fault;
  }

  async open(): Promise<this> {
    const listening = once(this.#socket, 'listening');
    this.#socket.bind(0, '127.0.0.1');
    await listening;
    return this;
  }

  send(bytes: Buffer, port: number): void {
    for (let copy = this.#fault(); copy > 0; copy -= 1) this.#socket.send(bytes, port, '127.0.0.1');
  }

  /** The next datagram, or undefined after `waitMs`. */
  async receive(waitMs: number): Promise<Buffer | undefined> {
    const signal = AbortSignal.any([AbortSignal.timeout(waitMs), this.#repeat.signal]);
    try {
      const [bytes, from] = (await once(this.#socket, 'message', { signal })) as [Buffer, { port: number }];
      this.peer = from.port;
      return bytes;
    } catch {
      return undefined;
    }
  }

  async get(file: string, options: Readonly<Record<string, number>> = {}): Promise<{ body: Buffer; accepted: string }> {
    const transfer = new Download(options);
    const queue: Buffer[] = [];
    let wake: (() => void) | undefined;
    this.#socket.on('message', (bytes: Buffer, from) => {
      this.peer = from.port;
      for (let copy = this.#fault(); copy > 0; copy -= 1) queue.push(bytes);
      wake?.();
    });
    const words = [file, 'octet', ...Object.entries(options).flatMap(([name, value]) => [name, String(value)])];
    const request = Buffer.concat([Buffer.from([0, 1]), Buffer.from(words.map((word) => `${word}\0`).join(''))]);
    this.send(request, server.port);
    while (!transfer.isDone) {
      if (queue.length === 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        const timer = setTimeout(resolve, 60);
        await promise;
        clearTimeout(timer);
        if (queue.length === 0) {
          if (this.peer === 0) this.send(request, server.port);
          else this.send(transfer.acknowledgement(), this.peer);
        }
      }
      for (const bytes of queue.splice(0)) {
        const answer = transfer.take(bytes);
        if (answer !== undefined) this.send(answer, this.peer);
      }
    }
    return { body: Buffer.concat(transfer.blocks), accepted: transfer.accepted };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#repeat.abort();
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }
}

class Download {
  readonly blocks: Buffer[] = [];
  accepted = '';
  isDone = false;
  #blockBytes: number;
  #window: number;
  #sinceAck = 0;
  #saidGap = false;

  constructor(options: Readonly<Record<string, number>>) {
    this.#blockBytes = options['blksize'] ?? 512;
    this.#window = options['windowsize'] ?? 1;
  }

  acknowledgement(): Buffer {
    this.#sinceAck = 0;
    const bytes = Buffer.from([0, 4, 0, 0]);
    bytes.writeUInt16BE(this.blocks.length & 0xffff, 2);
    return bytes;
  }

  take(bytes: Buffer): Buffer | undefined {
    const opcode = bytes.readUInt16BE(0);
    if (opcode === 5) throw new Error(`server: ${bytes.toString('latin1', 4, bytes.length - 1)}`);
    if (opcode === 6) {
      if (this.blocks.length > 0) return undefined;
      this.accepted = bytes.toString('latin1', 2);
      const window = /windowsize\0(\d+)/.exec(this.accepted)?.[1];
      if (window !== undefined) this.#window = Number(window);
      return this.acknowledgement();
    }
    if (bytes.readUInt16BE(2) !== ((this.blocks.length + 1) & 0xffff)) {
      // Out of order: say once what came last (RFC 7440), lock-step clients repeat it every time (RFC 1350).
      if (this.#window > 1 && this.#saidGap) return undefined;
      this.#saidGap = true;
      return this.acknowledgement();
    }
    this.#saidGap = false;
    this.blocks.push(Buffer.from(bytes.subarray(4)));
    this.#sinceAck += 1;
    this.isDone = bytes.length - 4 < this.#blockBytes;
    return this.isDone || this.#sinceAck >= this.#window ? this.acknowledgement() : undefined;
  }
}

async function download(
  file: string,
  options: Readonly<Record<string, number>> = {},
  fault?: () => number,
): Promise<Buffer> {
  await using client = await new Client(fault).open();
  return (await client.get(file, options)).body;
}

/** A server that repeats nothing by itself while a test runs: on a busy computer 40 ms go by before an acknowledgement is sent. */
async function patientServer(change: Partial<TftpServerOptions> = {}): Promise<TftpServer> {
  return startTftpServer({ ...options([join(folder, 'root')]), retryMs: 15_000, ...change });
}

function options(folders: readonly string[]): TftpServerOptions {
  return { address: '127.0.0.1', port: 0, folders, log: pino({ level: 'silent' }), onLink: () => undefined };
}

/** Out of a hundred datagrams, so many are lost and so many arrive twice. The same ones in every run. */
function faults(lost: number, doubled: number): () => number {
  let state = 99;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const percent = (state >>> 8) % 100;
    if (percent < lost) return 0;
    return percent < lost + doubled ? 2 : 1;
  };
}

describe('tftp server', () => {
  for (const [file, size] of [
    ['empty', 0],
    ['small', 1000],
    ['exact', 1024],
    ['medium', 300_001],
  ] as const) {
    it(`sends ${file} (${size} bytes) without options`, LIMIT, async () => {
      assert.deepEqual(await download(file), patternBytes(size));
    });
  }

  it('agrees on block size, size, timeout and window, and says the size', LIMIT, async () => {
    await using client = await new Client().open();

    const { body, accepted } = await client.get('medium', { blksize: 1428, tsize: 0, timeout: 2, windowsize: 8 });

    assert.deepEqual(body, patternBytes(300_001));
    assert.equal(accepted, 'blksize\x001428\0tsize\x00300001\0timeout\x002\0windowsize\x008\0');
  });

  it('grants a smaller window than asked when blocks are large', LIMIT, async () => {
    await using client = await new Client().open();

    const { body, accepted } = await client.get('medium', { blksize: 60_000, windowsize: 1000 });

    assert.ok(accepted.endsWith('windowsize\x004\0'), accepted);
    assert.deepEqual(body, patternBytes(300_001));
  });

  it('counts on past 65 535 blocks', LIMIT, async () => {
    assert.deepEqual(await download('many', { blksize: 8, windowsize: 64 }), patternBytes(65_540 * 8 + 3));
  });

  for (const window of [1, 16]) {
    for (const [lost, doubled] of [
      [0, 5],
      [2, 0],
      [2, 5],
    ] as const) {
      it(
        `delivers every byte with window ${window} when ${lost} % of packets are lost and ${doubled} % come twice`,
        LIMIT,
        async () => {
          const body = await download('medium', { blksize: 1428, windowsize: window }, faults(lost, doubled));

          assert.deepEqual(body, patternBytes(300_001));
        },
      );
    }
  }

  it('sends each block once to a client that acknowledges everything twice', LIMIT, async () => {
    await using patient = await patientServer();
    await using client = await new Client().open();
    const seen: number[] = [];
    client.send(Buffer.from('\0\x01small\0octet\0'), patient.port);
    for (let block = 1; block <= 2; block += 1) {
      const bytes = await client.receive(10_000);
      seen.push(bytes?.readUInt16BE(2) ?? -1);
      const ack = Buffer.from([0, 4, 0, block]);
      client.send(ack, client.peer);
      client.send(ack, client.peer);
    }

    assert.deepEqual(seen, [1, 2]);
    assert.equal(await client.receive(150), undefined);
  });

  it(
    'goes on after datagrams of 0 and 1 byte, acknowledgements of the future and errors from strangers',
    LIMIT,
    async () => {
      await using client = await new Client().open();
      await using stranger = await new Client().open();
      client.send(Buffer.from('\0\x01small\0octet\0'), server.port);
      const first = await client.receive(10_000);
      for (const bytes of [[], [0], [0, 4], [0, 4, 0x80, 0], [0, 9, 0, 0]])
        client.send(Buffer.from(bytes), client.peer);
      for (const bytes of [
        [0, 5, 0, 0, 0],
        [0, 4, 0, 1],
      ])
        stranger.send(Buffer.from(bytes), client.peer);

      const again = await client.receive(10_000);
      client.send(Buffer.from([0, 4, 0, 1]), client.peer);
      let second = await client.receive(10_000);
      while (second?.readUInt16BE(2) === 1) second = await client.receive(10_000);

      assert.equal(first?.readUInt16BE(2), 1);
      assert.equal(again?.readUInt16BE(2), 1);
      assert.equal(second?.readUInt16BE(2), 2);
      assert.equal(second?.length, 4 + 1000 - 512);
    },
  );

  it('stops sending when the client says that it has enough', LIMIT, async () => {
    await using patient = await patientServer();
    await using client = await new Client().open();
    client.send(Buffer.from('\0\x01medium\0octet\0tsize\x000\0'), patient.port);
    assert.equal((await client.receive(10_000))?.readUInt16BE(0), 6);

    client.send(Buffer.from([0, 5, 0, 0, 0]), client.peer);

    assert.equal(await client.receive(150), undefined);
  });

  for (const path of [
    'out',
    'dir-out/secret',
    '/etc/passwd',
    'sub/../../secret',
    'sub\\..\\..\\secret',
    '../root-not/secret',
    'sub',
    'nothing',
    '.',
    '/',
  ]) {
    it(`serves nothing for ${path}`, LIMIT, async () => {
      await using client = await new Client().open();
      const words = Buffer.from(`\0\x01${path}\0octet\0`);
      client.send(words, server.port);

      const answer = await client.receive(200);

      // Silence for what is no valid name, "file not found" otherwise.
      assert.ok(answer === undefined || answer.toString('hex', 0, 4) === '00050001', answer?.toString('latin1'));
    });
  }

  it('tells once, and no machine, which link keeps a file from being served', LIMIT, async () => {
    const told: unknown[] = [];
    const onLink = linksToldOnce(({ link, target }, name) => told.push([name, link, target]));
    const root = join(folder, 'root');
    await using telling = await patientServer({ onLink });
    for (const path of ['dir-out/secret', '\\dir-out\\secret', 'out', 'out', 'sub', 'nothing']) {
      await using client = await new Client().open();
      client.send(Buffer.from(`\0\x01${path}\0octet\0`), telling.port);

      assert.equal((await client.receive(10_000))?.toString('latin1', 4), 'File not found\0');
    }

    assert.deepEqual(told, [
      ['boot.linkNotServed', join(root, 'dir-out'), folder],
      ['boot.linkNotServed', join(root, 'out'), '../secret'],
    ]);
  });

  it('follows links that stay inside, and paths with a leading slash or backslashes', LIMIT, async () => {
    for (const path of ['sub/in', '/sub/in', '\\sub\\in'])
      assert.deepEqual(await download(path), patternBytes(1000), path);
  });

  it('refuses to write and other modes than octet', LIMIT, async () => {
    await using writer = await new Client().open();
    writer.send(Buffer.from('\0\x02small\0octet\0'), server.port);
    assert.equal((await writer.receive(10_000))?.toString('hex', 0, 4), '00050002');

    await using reader = await new Client().open();
    reader.send(Buffer.from('\0\x01small\0netascii\0'), server.port);
    assert.equal((await reader.receive(10_000))?.toString('hex', 0, 4), '00050004');
  });

  it('serves fifty transfers of one address, sixteen at a time', LIMIT, async () => {
    const bodies = await Promise.all(Array.from({ length: 50 }, () => download('medium', { blksize: 1428 })));

    assert.ok(bodies.every((body) => body.equals(patternBytes(300_001))));
  });

  it('says which address it cannot listen on', async () => {
    await assert.rejects(startTftpServer({ ...options([folder]), port: server.port }), {
      code: 'unavailable',
      message: new RegExp(`127\\.0\\.0\\.1:${server.port}`),
    });
  });

  it('stops at once, also in the middle of a transfer', LIMIT, async () => {
    const other = await startTftpServer(options([join(folder, 'root')]));
    await using client = await new Client().open();
    client.send(Buffer.from('\0\x01medium\0octet\0'), other.port);
    await client.receive(10_000);

    const goodbye = client.receive(10_000);
    await other[Symbol.asyncDispose]();

    assert.equal((await goodbye)?.readUInt16BE(0), 5);
  });
});
