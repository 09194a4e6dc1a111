import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { probeAddresses } from './address-probe.ts';

const ARP = `IP address       HW type     Flags       HW address            Mask     Device
127.0.0.9        0x1         0x2         02:AA:00:00:00:09     *        eth0
127.0.0.8        0x1         0x0         00:00:00:00:00:00     *        eth0
`;
const signal = new AbortController().signal;

/** A file as the kernel shows its neighbours. */
async function neighbourFile(text: string): Promise<{ readonly path: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-arp-'));
  const path = join(folder, 'arp');
  await writeFile(path, text);
  return { path, [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) };
}

/** A port of 127.0.0.1 that accepts, and of 127.0.0.2 that refuses. */
async function listener(): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  // A TCP server's address is always an object.
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, 'close');
    },
  };
}

describe('the question who has an address', () => {
  it('is answered by whoever accepts or refuses a connection', async () => {
    await using open = await listener();
    await using neighbours = await neighbourFile(ARP);
    const options = { signal, port: open.port, neighbourFile: neighbours.path };

    const found = await probeAddresses(['127.0.0.1', '127.0.0.2'], options);

    assert.deepEqual(
      [...found],
      [
        ['127.0.0.1', { isTaken: true, detail: `answers on port ${open.port}` }],
        ['127.0.0.2', { isTaken: true, detail: `refuses port ${open.port}` }],
      ],
    );
  });

  it('is answered by the neighbour table for machines that are silent otherwise', async () => {
    await using neighbours = await neighbourFile(ARP.replace('127.0.0.9', '255.255.255.255'));
    // The kernel opens no connection to the broadcast address: nobody answers, and nothing is sent.
    const options = { signal, port: 80, neighbourFile: neighbours.path };

    const found = await probeAddresses(['255.255.255.255'], options);

    assert.deepEqual(found.get('255.255.255.255'), {
      isTaken: true,
      mac: '02:aa:00:00:00:09',
      detail: 'is in the neighbour table',
    });
  });

  it('ends with the signal', async () => {
    const stopped = AbortSignal.abort(new Error('stopped'));

    await assert.rejects(probeAddresses(['127.0.0.1'], { signal: stopped }), /stopped/);
  });
});
