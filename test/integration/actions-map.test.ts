import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import { startServer } from '#server/app.ts';
import { readConfig } from '#server/config.ts';
import { runCliProcess } from '#test/support/cli-process.ts';

const LIMIT = { timeout: 60_000 };

const MANIFESTS = `apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata: { name: node-1 }
spec: { interfaces: [{ dhcp: { mac: "52:54:00:00:00:01" } }] }
---
apiVersion: tinkerbell.org/v1alpha1
kind: Template
metadata: { name: t }
spec:
  data: |
    name: t
    tasks:
      - name: t
        worker: "{{.device_1}}"
        actions: [{ name: a, image: "registry.example.org/site/down:v3" }]
---
apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata: { name: w }
spec: { templateRef: t, hardwareRef: node-1, hardwareMap: { device_1: "52:54:00:00:00:01" } }
`;

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tinsmith-map-'));
  try {
    await writeFile(join(folder, 'map.yaml'), 'registry.example.org/site/down: poweroff\n');
    await writeFile(join(folder, 'm.yaml'), MANIFESTS);
    await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function start(folder: string, map: string): ReturnType<typeof startServer> {
  const ports = ['tftp', 'http', 'metadata', 'metadata-legacy', 'grpc', 'admin'].map((name) => [`${name}-port`, '0']);
  const flags = { 'data-dir': folder, address: '127.0.0.1', 'dhcp-mode': 'off', 'actions-map': map };
  const config = readConfig({ ...flags, ...Object.fromEntries(ports) }, {});
  return startServer({ config, log: pino({ level: 'silent' }), version: '0' });
}

describe('a site’s names of actions', () => {
  it('are taken by the server and by validate', LIMIT, async () => {
    await inFolder(async (folder) => {
      const map = join(folder, 'map.yaml');
      await using server = await start(folder, map);
      const token = (await readFile(join(folder, 'admin.token'), 'utf8')).trim();
      const ask = async (path: string, init: RequestInit = {}): Promise<string> => {
        const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
        const response = await fetch(`${server.adminUrl}${path}`, { ...init, headers });
        return response.text();
      };

      const files = [{ name: 'm.yaml', text: MANIFESTS }];
      assert.match(await ask('/api/v1/apply', { method: 'POST', body: JSON.stringify({ files }) }), /"created"/);
      assert.match(await ask('/api/v1/workflows/w'), /"image":"poweroff"/);

      const file = join(folder, 'm.yaml');
      assert.equal((await runCliProcess(undefined, ['validate', '-f', file, '--actions-map', map])).code, 0);
      const without = await runCliProcess(undefined, ['validate', '-f', file]);
      assert.equal(without.code, 65);
      assert.match(without.stderr, /site\/down:v3 names no built-in action/);
    });
  });

  it('that are wrong keep the server from starting, with their places', LIMIT, async () => {
    await inFolder(async (folder) => {
      const map = join(folder, 'wrong.yaml');
      await writeFile(map, '# ours\nsite/x: powerof\n');

      await assert.rejects(start(folder, map), (thrown: unknown) => {
        assert.ok(thrown instanceof TinsmithError && thrown.code === 'invalid_input');
        const [problem] = thrown.problems;
        assert.deepEqual([problem?.file, problem?.line, problem?.column], [map, 2, 9]);
        assert.match(problem?.message ?? '', /did you mean poweroff/);
        return true;
      });
      await assert.rejects(start(folder, join(folder, 'none.yaml')), /cannot read the action names of .*none\.yaml/);
    });
  });
});
