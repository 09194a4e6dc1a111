/** The admin API over real HTTP on the real store. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERROR_CODES, isErrorCode, TinsmithError } from '#proto/errors.ts';
import type { ApplyResponse, EventView, HardwareView, ListOf, LogLineView, WorkflowView } from '#server/api/types.ts';
import { addMachine, bootMachine, runAction, startApiWorld } from '#test/support/api-world.ts';

const HARDWARE = `apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata: { name: node-1, labels: { type: cp } }
spec:
  userData: "#cloud-config with a password"
  disks: [{ device: /dev/sda }]
  interfaces:
    - netboot: { allowPXE: true, allowWorkflow: true }
      dhcp:
        mac: "52:54:00:12:34:56"
        hostname: node-1
        ip: { address: 10.0.0.11, netmask: 255.255.255.0, gateway: 10.0.0.1 }
`;
const TEMPLATE = `apiVersion: tinkerbell.org/v1alpha1
kind: Template
metadata: { name: install }
spec:
  data: |
    version: "0.1"
    name: install
    global_timeout: 600
    tasks:
      - name: install
        worker: "{{.device_1}}"
        actions:
          - name: stream image
            image: quay.io/tinkerbell/actions/image2disk:latest
            timeout: 60
            environment:
              IMG_URL: http://someone:hunter2@10.0.0.1:7171/images/a.raw.gz
              DEST_DISK: /dev/sda
          - name: restart
            image: reboot
            timeout: 60
`;
const WORKFLOW = `apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata: { name: node-1 }
spec: { templateRef: install, hardwareRef: node-1 }
`;
const SITE = [
  { name: 'hardware.yaml', text: HARDWARE },
  { name: 'install.yaml', text: `${TEMPLATE}---\n${WORKFLOW}` },
];

describe('admin API: who may ask', () => {
  it('answers nobody without the token, but for the health check', async () => {
    await using world = await startApiWorld();
    const attempts = [
      undefined,
      '',
      'Bearer ',
      `Bearer ${world.token}x`,
      `Bearer ${world.token.slice(0, -1)}`,
      `Basic ${world.token}`,
      world.token,
    ];

    for (const authorization of attempts) {
      for (const path of ['/api/v1/hardware', '/api/v1/events/stream', '/api/v1/openapi.json', '/api/v1/nothing']) {
        const answer = await world.call('GET', path, { headers: { authorization } });
        assert.equal(answer.status, 401, `${path} with ${authorization}`);
        assert.equal(answer.error().code, 'unauthenticated');
        assert.equal(answer.headers['www-authenticate'], 'Bearer');
      }
    }
    const health = await world.call('GET', '/healthz', { headers: { authorization: undefined } });
    assert.deepEqual([health.status, health.json()], [200, { status: 'ok' }]);
    assert.equal((await world.call('GET', '/api/v1/hardware')).status, 200);
  });

  it('answers no request that names a foreign host, so that a web page cannot reach it by DNS rebinding', async () => {
    await using world = await startApiWorld();
    const port = new URL(world.url).port;

    for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example', 'localhost@evil.example']) {
      const answer = await world.call('GET', '/api/v1/hardware', { headers: { host } });
      assert.equal(answer.status, 403, host);
      assert.equal(answer.error().code, 'forbidden');
      assert.equal((await world.call('GET', '/healthz', { headers: { host } })).status, 403, host);
    }
    for (const host of ['localhost', `LOCALHOST:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) {
      assert.equal((await world.call('GET', '/api/v1/hardware', { headers: { host } })).status, 200, host);
    }
  });

  it('takes no body above 8 MiB and no malformed one', async () => {
    await using world = await startApiWorld();
    const bodies = ['{', '[]', '{"files":[{"name":"a"}]}', '{"files":[],"other":1}', '{"files":"a"}'];

    for (const rawBody of bodies) {
      const answer = await world.call('POST', '/api/v1/apply', { rawBody });
      assert.deepEqual([answer.status, answer.error().code], [400, 'invalid_input'], rawBody.slice(0, 40));
    }
    const announced = { 'content-length': String(8 * 1024 * 1024 + 1) };
    const tooLarge = await world.call('POST', '/api/v1/apply', { rawBody: '{', headers: announced });
    assert.deepEqual([tooLarge.status, tooLarge.error().code], [400, 'invalid_input']);
    const unknownQuery = await world.call('GET', '/api/v1/events?aftr=3');
    assert.match(unknownQuery.error().message, /"aftr"/);
  });

  it('never logs the token', async () => {
    await using world = await startApiWorld();

    await world.call('GET', '/api/v1/hardware');
    await world.call('POST', '/api/v1/apply', { rawBody: '{' });
    await world.call('GET', '/api/v1/hardware', { headers: { authorization: `Bearer ${world.token}x` } });

    assert.equal(world.logged.join('').includes(world.token), false);
  });
});

describe('admin API: failures', () => {
  it('answers every code of the table with its status', async () => {
    const problem = { file: 'a.yaml', line: 3, column: 7, message: 'wrong' };
    await using world = await startApiWorld({
      transitions: {
        async setNetboot(code) {
          throw new TinsmithError(isErrorCode(code) ? code : 'usage', `about ${code}`, { problems: [problem] });
        },
      },
    });

    for (const [code, row] of Object.entries(ERROR_CODES)) {
      const answer = await world.call('PUT', `/api/v1/hardware/${code}/netboot`, { body: { netboot: true } });

      assert.equal(answer.status, row.http);
      assert.equal(answer.error().code, code);
      if (code === 'internal') assert.match(answer.error().message, /^a bug in Tinsmith/);
      else assert.deepEqual(answer.error(), { code, message: `about ${code}`, problems: [problem] });
    }
  });

  it('keeps what a bug said in the log and away from the client', async () => {
    await using world = await startApiWorld({
      transitions: {
        async setNetboot() {
          throw new TypeError('cannot read properties of undefined (reading secret)');
        },
      },
    });

    const answer = await world.call('PUT', '/api/v1/hardware/a/netboot', { body: { netboot: true } });

    assert.equal(answer.status, 500);
    assert.equal(answer.text.includes('secret'), false);
    assert.match(world.logged.join(''), /reading secret/);
  });

  it('says what does not exist', async () => {
    await using world = await startApiWorld();
    const calls = [
      ['GET', '/api/v1/hardware/none'],
      ['GET', '/api/v1/templates/none'],
      ['GET', '/api/v1/workflows/none'],
      ['GET', '/api/v1/workflows/none/actions'],
      ['GET', '/api/v1/workflows/none/logs'],
      ['GET', '/api/v1/workflows/none/logs/stream'],
      ['DELETE', '/api/v1/hardware/none'],
      ['DELETE', '/api/v1/templates/none'],
      ['DELETE', '/api/v1/workflows/none'],
      ['POST', '/api/v1/workflows/none/retry'],
      ['GET', '/api/v2/hardware'],
      ['GET', '/'],
    ] as const;

    for (const [method, path] of calls) {
      const answer = await world.call(method, path);
      assert.deepEqual([answer.status, answer.error().code], [404, 'not_found'], `${method} ${path}`);
    }
    assert.match((await world.call('GET', '/api/v1/hardware/none')).error().message, /"none"/);
  });
});

describe('admin API: apply', () => {
  it('stores files that refer to each other at once, and nothing the second time', async () => {
    await using world = await startApiWorld();

    const first = await world.call('POST', '/api/v1/apply', { body: { files: SITE } });
    const events = await world.store.events();
    const second = await world.call('POST', '/api/v1/apply', { body: { files: SITE } });

    assert.equal(first.status, 200, first.text);
    const created = first.json<ApplyResponse>().records.map(({ kind, name, outcome }) => `${kind} ${name} ${outcome}`);
    assert.deepEqual(created, ['Hardware node-1 created', 'Template install created', 'Workflow node-1 created']);
    assert.ok(
      second.json<ApplyResponse>().records.every(({ outcome }) => outcome === 'unchanged'),
      second.text,
    );
    assert.equal((await world.store.events()).length, events.length);
  });

  it('applies all or nothing, with the place of every problem in every file', async () => {
    await using world = await startApiWorld();
    const files = [
      ...SITE,
      { name: 'bad.yaml', text: HARDWARE.replace('node-1', 'node-2').replace('52:54:00:12:34:56', 'no mac') },
      { name: 'worse.yaml', text: WORKFLOW.replace('templateRef: install', 'templateRef: instal') },
    ];

    const answer = await world.call('POST', '/api/v1/apply', { body: { files } });

    assert.equal(answer.status, 400, answer.text);
    const { code, problems } = answer.error();
    assert.equal(code, 'invalid_input');
    const places = problems.map(({ file, line }) => `${file}:${line}`);
    assert.ok(places.includes('bad.yaml:10'), places.join(' '));
    assert.ok(
      places.some((place) => place.startsWith('worse.yaml:')),
      places.join(' '),
    );
    assert.deepEqual(await world.store.listHardware(), []);
    assert.deepEqual(await world.store.events(), []);
  });

  it('foresees with dryRun what an apply would do, and does nothing', async () => {
    await using world = await startApiWorld();

    const before = await world.call('POST', '/api/v1/apply', { body: { files: SITE, dryRun: true } });
    const untouched = await world.store.events();
    await world.call('POST', '/api/v1/apply', { body: { files: SITE } });
    const changed = SITE.map(({ name, text }) => ({ name, text: text.replace('timeout: 60', 'timeout: 61') }));
    const after = await world.call('POST', '/api/v1/apply', { body: { files: changed.slice(1), dryRun: true } });

    assert.deepEqual(outcomes(before.json()), ['Hardware created', 'Template created', 'Workflow created']);
    assert.deepEqual(untouched, []);
    assert.deepEqual(outcomes(after.json()), ['Template configured', 'Workflow unchanged']);
  });

  it('never returns user data, and no password of an environment', async () => {
    await using world = await startApiWorld();
    await world.call('POST', '/api/v1/apply', { body: { files: SITE } });

    const hardware = await world.call('GET', '/api/v1/hardware/node-1');
    const lists = await Promise.all(
      ['hardware', 'workflows', 'workflows/node-1', 'events'].map((path) => world.call('GET', `/api/v1/${path}`)),
    );

    assert.equal(hardware.json<HardwareView>().hasUserData, true);
    for (const { text } of [hardware, ...lists]) assert.doesNotMatch(text, /cloud-config|hunter2/);
    const [action] = lists[2]?.json<WorkflowView>().tasks?.[0]?.actions ?? [];
    assert.equal(action?.environment['DEST_DISK'], '/dev/sda');
    assert.match(action?.environment['IMG_URL'] ?? '', /redacted.*10\.0\.0\.1:7171/);
  });
});

describe('admin API: records', () => {
  it('lists hardware by labels, all of which must match', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one', 1);
    await addMachine(world, 'two', 2);

    const names = async (query: string) => {
      const answer = await world.call('GET', `/api/v1/hardware${query}`);
      return answer.json<ListOf<HardwareView>>().items.map(({ name }) => name);
    };

    assert.deepEqual(await names(''), ['one', 'two']);
    assert.deepEqual(await names('?label=rack=a'), ['one', 'two']);
    assert.deepEqual(await names('?label=rack=a&label=rack=b'), []);
    assert.deepEqual(await names('?label=__proto__=a'), []);
    assert.equal((await world.call('GET', '/api/v1/hardware?label=rack')).status, 400);
  });

  it('shows a workflow with its actions, history and log, and cancels and retries it', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');
    await bootMachine(world, 'one');
    await runAction(world, 'one', 0);

    const running = (await world.call('GET', '/api/v1/workflows/one')).json<WorkflowView>();
    const log = (await world.call('GET', '/api/v1/workflows/one/logs')).json<ListOf<LogLineView>>();
    const deletion = await world.call('DELETE', '/api/v1/workflows/one');
    const cancelled = await world.call('POST', '/api/v1/workflows/one/cancel', { body: { reason: 'wrong disk' } });
    const retried = await world.call('POST', '/api/v1/workflows/one/retry');
    const again = await world.call('POST', '/api/v1/workflows/one/retry');
    const history = (await world.call('GET', '/api/v1/workflows/one/actions')).json<ListOf<{ attempt: number }>>();

    assert.deepEqual([running.state, running.actions.map(({ state }) => state)], ['running', ['succeeded', 'pending']]);
    assert.deepEqual(
      log.items.map(({ action, text }) => [action, text.trimEnd()]),
      [[0, 'line of action 0 \u001b[31m']],
    );
    assert.deepEqual([deletion.status, deletion.error().code], [409, 'conflict']);
    assert.equal(cancelled.json<WorkflowView>().state, 'cancelled');
    assert.deepEqual([retried.json<WorkflowView>().state, retried.json<WorkflowView>().attempt], ['pending', 2]);
    assert.equal(again.status, 409);
    assert.deepEqual([...new Set(history.items.map(({ attempt }) => attempt))], [1, 2]);
  });

  it('keeps who asked for a change with its event', async () => {
    await using world = await startApiWorld();
    await addMachine(world, 'one');

    await world.call('PUT', '/api/v1/hardware/one/netboot', { body: { netboot: false } });
    const { items } = (await world.call('GET', '/api/v1/events?tail=1')).json<ListOf<EventView>>();

    const [{ name, actor, from, data } = assert.fail('no event')] = items;
    assert.deepEqual([name, actor, from, data], ['hardware.netboot', 'operator', '127.0.0.1', { netboot: false }]);
  });

  it('describes itself as OpenAPI with every path that it serves', async () => {
    await using world = await startApiWorld();

    const document = (await world.call('GET', '/api/v1/openapi.json')).json<{ openapi: string; paths: object }>();

    assert.equal(document.openapi, '3.1.0');
    for (const path of [
      '/apply',
      '/events/stream',
      '/workflows/{name}/cancel',
      '/hardware/{name}/netboot',
      '/version',
    ]) {
      assert.ok(Object.hasOwn(document.paths, `/api/v1${path}`), path);
    }
  });
});

function outcomes({ records }: ApplyResponse): readonly string[] {
  return records.map(({ kind, outcome }) => `${kind} ${outcome}`);
}
