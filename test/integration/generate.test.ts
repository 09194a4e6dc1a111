/** `tinsmith generate …` as child processes without a server: what it makes has to be valid. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Ajv } from 'ajv';
import { parseAllDocuments } from 'yaml';
import { runCliProcess } from '#test/support/cli-process.ts';

const DEAD_SERVER = { TINSMITH_SERVER: 'http://127.0.0.1:9', TINSMITH_TOKEN: 'x'.repeat(43) };
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJj8n3rtNnHkfJ7rZ5l6wTzq2pVQ1xv0mJ8yJtJq9K3b admin@example';
const CSV = `hostname,mac,ip_address,netmask,gateway,nameservers,labels,disk,bmc_ip,bmc_username,bmc_password
cp-1,52:54:00:12:34:01,10.0.0.11,255.255.255.0,10.0.0.1,10.0.0.1,type=cp,/dev/sda,,,
w-1,52:54:00:12:34:02,10.0.0.12,255.255.255.0,10.0.0.1,10.0.0.1,type=worker,/dev/sda,10.0.1.2,root,"hunter2,"
`;
const ADDRESSES = ['--endpoint', '10.0.0.5', '--tinkerbell-ip', '10.0.0.2'];

describe('tinsmith generate', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tinsmith-generate-'));
    await writeFile(join(folder, 'key.pub'), `${KEY}\n`);
    await writeFile(join(folder, 'hardware.csv'), CSV);
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  const run = (...argv: string[]) => runCliProcess(undefined, argv, { environment: DEAD_SERVER, cwd: folder });

  for (const family of ['ubuntu', 'redhat', 'bottlerocket']) {
    it(`makes a cluster file and templates for ${family} that are valid with the machines of the CSV`, async () => {
      const cluster = `${family}.yaml`;
      const templates = `${family}-templates.yaml`;
      const version = family === 'bottlerocket' ? '1.28' : '1.36';
      const options = [
        '--os-family',
        family,
        '--kubernetes-version',
        version,
        '--ssh-key',
        'key.pub',
        '--out',
        cluster,
      ];

      const made = await run('generate', 'clusterconfig', 'mgmt', ...ADDRESSES, ...options);
      const template = await run('generate', 'template', '-f', cluster, '--out', templates);
      const valid = await run('validate', '-f', cluster, '-f', templates, '-f', 'hardware.csv');

      assert.deepEqual([made.code, made.stdout, template.code, template.stdout], [0, '', 0, ''], template.stderr);
      assert.equal(valid.stdout, 'valid: 2 hardware, 2 templates, 0 workflows, 1 cluster in 3 files\n', valid.stderr);
      assert.equal(
        warningsOf(valid.stderr).filter((line) => line.includes(cluster)).length,
        version === '1.28' ? 2 : 1,
      );
      const text = await readFile(join(folder, templates), 'utf8');
      assert.match(text, /^ {2}name: "?mgmt-control-plane"?$/m);
      assert.match(text, new RegExp(`library:${family}-${version.replace('.', '-')}`));
      assert.match(text, /http:\/\/10\.0\.0\.2:7172/);
    });
  }

  it('makes a cluster without workers, and says what is wrong with its options', async () => {
    const alone = await run('generate', 'clusterconfig', 'one', ...ADDRESSES, '--worker-count', '0');
    const wrong = await run('generate', 'clusterconfig', 'one', '--endpoint', '10.0.0', '--tinkerbell-ip', '10.0.0.2');
    const unnamed = await run('generate', 'clusterconfig', '1x', ...ADDRESSES);
    const few = await run('generate', 'clusterconfig', 'one', '--endpoint', '10.0.0.5');
    const noKey = await run('generate', 'clusterconfig', 'one', ...ADDRESSES, '--ssh-key', 'nothing.pub');

    assert.equal(alone.code, 0, alone.stderr);
    assert.doesNotMatch(alone.stdout, /workerNodeGroup|type: worker/);
    assert.equal(wrong.code, 65);
    assert.match(wrong.stderr, /cannot make a cluster file from these options: .*host 10\.0\.0 is not an IP address/);
    assert.equal(unnamed.code, 65);
    assert.match(
      unnamed.stderr,
      /^error: cannot make a cluster file: the name "1x" is not a name of a cluster: use [^\n]*\n$/,
    );
    assert.equal(few.code, 64);
    assert.match(few.stderr, /use --endpoint IP and --tinkerbell-ip IP/);
    assert.match(noKey.stderr, /cannot read the public key nothing\.pub: ENOENT/);
  });

  it('makes the objects of a CSV, Machine and Secret only where there is a BMC, in a file for its owner', async () => {
    const { code, stderr } = await run('generate', 'hardware', '-f', 'hardware.csv', '--out', 'hw.yaml');
    const again = await run('generate', 'hardware', '-f', 'hardware.csv', '--out', 'hw.yaml');
    const valid = await run('validate', '-f', 'hw.yaml');

    assert.equal(code, 0, stderr);
    const documents = parseAllDocuments(await readFile(join(folder, 'hw.yaml'), 'utf8')).map((document): unknown =>
      document.toJS(),
    );
    assert.deepEqual(
      documents.map((document) => field(document, 'kind', 'metadata')),
      ['Hardware cp-1', 'Hardware w-1', 'Machine bmc-w-1', 'Secret bmc-w-1-auth'],
    );
    assert.match(JSON.stringify(documents[3]), new RegExp(Buffer.from('hunter2,').toString('base64')));
    assert.equal((await stat(join(folder, 'hw.yaml'))).mode & 0o777, 0o600);
    assert.match(again.stderr, /cannot write hw\.yaml: it exists/);
    assert.match(valid.stdout, /^valid: 2 hardware/);
  });

  it('makes no hardware of a CSV with faults, and tells all of them', async () => {
    await writeFile(join(folder, 'bad.csv'), CSV.replace('/dev/sda', 'sda').replace('10.0.0.12', '10.0.0.11'));

    const { code, stdout, stderr } = await run('generate', 'hardware', '-f', 'bad.csv');

    assert.deepEqual([code, stdout], [65, '']);
    assert.match(stderr, /bad\.csv:2:\d+: cp-1: disk "sda"/);
    assert.match(stderr, /bad\.csv:3:\d+: the IP address 10\.0\.0\.11/);
  });

  it('writes a schema for each kind and one for all, which take what it generates', async () => {
    const { code, stdout } = await run('generate', 'schema', '--out', 'schemas');
    const one = await run('generate', 'schema', 'Cluster');
    const typo = await run('generate', 'schema', 'Clustr');
    const config = await run('generate', 'clusterconfig', 'mgmt', ...ADDRESSES);

    assert.equal(code, 0);
    const files = await readdir(join(folder, 'schemas'));
    assert.deepEqual(files.length, stdout.trim().split('\n').length);
    assert.ok(files.includes('tinsmith.json') && files.includes('TinkerbellMachineConfig.json'));
    const schema: unknown = JSON.parse(await readFile(join(folder, 'schemas/tinsmith.json'), 'utf8'));
    assert.ok(typeof schema === 'object' && schema !== null);
    const validate = new Ajv({ allErrors: true, allowUnionTypes: true }).compile(schema);
    for (const document of parseAllDocuments(config.stdout)) {
      assert.ok(validate(document.toJS()), JSON.stringify(validate.errors));
    }
    assert.deepEqual(JSON.parse(one.stdout), JSON.parse(await readFile(join(folder, 'schemas/Cluster.json'), 'utf8')));
    assert.match(typo.stderr, /no kind "Clustr" \(did you mean "Cluster"\?\)/);
  });

  it('makes a template for one group, and says which groups there are', async () => {
    await run('generate', 'clusterconfig', 'gg', ...ADDRESSES, '--out', 'g.yaml');

    const one = await run(
      'generate',
      'template',
      '-f',
      'g.yaml',
      '--group',
      'md-0',
      '--metadata-url',
      'http://10.9.9.9:80',
    );
    const none = await run('generate', 'template', '-f', 'g.yaml', '--group', 'md-1');
    const other = await run('generate', 'template', '-f', 'g.yaml', '--os-family', 'bottlerocket', '--group', 'md-0');

    assert.equal(parseAllDocuments(one.stdout).length, 1);
    assert.match(one.stdout, /http:\/\/10\.9\.9\.9/);
    assert.match(none.stderr, /there is no group md-1: there are control-plane, md-0/);
    assert.match(other.stdout, /BOOTCONFIG_CONTENTS/);
  });
});

function warningsOf(stderr: string): readonly string[] {
  return stderr.split('\n').filter((line) => line.startsWith('warning:'));
}

function field(document: unknown, ...[kind, metadata]: readonly [string, string]): string {
  if (typeof document !== 'object' || document === null) return '';
  const entries = new Map<string, unknown>(Object.entries(document));
  const inner = entries.get(metadata);
  const name = typeof inner === 'object' && inner !== null && 'name' in inner ? String(inner.name) : '';
  return `${String(entries.get(kind))} ${name}`;
}
