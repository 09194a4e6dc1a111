import assert from 'node:assert/strict';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { fastify } from 'fastify';
import { catalog } from '#proto/actions/catalog.ts';
import { parseStorageLayout } from '#proto/actions/storage-layout.ts';
import { metadataRoutes } from '#server/installed/metadata-routes.ts';
import { openSqliteStore } from '#server/store/sqlite-store.ts';
import { hardwareManifest } from '#test/support/records.ts';

const LIMIT = { timeout: 60_000 };
const clock = (): Date => new Date();

describe('the whole metadata', () => {
  it('is what rootio asks for, and goes to its own machine only', LIMIT, async () => {
    await using opened = await openSqliteStore({ path: ':memory:', clock });
    const server = fastify();
    await server.register(metadataRoutes({ ...opened, clock }));
    await server.listen({ host: '127.0.0.1', port: 0 });
    try {
      const { port } = server.server.address() as AddressInfo;
      const { layout } = catalog.rootio.parse({ MIRROR_HOST: '127.0.0.1', METADATA_SERVICE_PORT: String(port) }, [
        'wipe',
      ]);
      assert.ok('url' in layout);
      assert.equal((await fetch(layout.url)).status, 404);

      const ip = { address: '127.0.0.1', netmask: '255.0.0.0' };
      const interfaces = [{ dhcp: { mac: '02:00:00:00:00:01', ip } }];
      const metadata = { instance: { storage: { disks: [{ device: '/dev/sda', wipe_table: true, partitions: [] }] } } };
      const hardware = [hardwareManifest('mine', 1, { interfaces, metadata })];
      await opened.transitions.apply({ hardware, templates: [], workflows: [] }, { actor: 'operator' });

      const text = await (await fetch(layout.url)).text();
      assert.deepEqual(
        parseStorageLayout(text, 'metadata').disks.map(({ device }) => device),
        ['/dev/sda'],
      );
    } finally {
      await server.close();
    }
  });
});
