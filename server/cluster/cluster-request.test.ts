import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { hardwareManifest } from '#test/support/records.ts';
import { describeProblems } from '../manifests/describe-problems.ts';
import type { Hardware } from '../store/store.ts';
import { readClusterFiles, tryReadClusterFiles } from './cluster-request.ts';

const FIXTURES = new URL('../../test/fixtures/eksa-example/', import.meta.url);
const article = (name: string) => ({ name, text: readFileSync(new URL(name, FIXTURES), 'utf8') });
const NOTHING = { hardware: [], templates: [], workflows: [] };
const AT = new Date('2026-01-01T00:00:00Z');

function stored(name: string, number: number, change: Partial<Hardware> = {}): Hardware {
  return {
    ...hardwareManifest(name, number),
    version: 3,
    createdAt: AT,
    stage: 'enrolled',
    stageAt: AT,
    netboot: true,
    hasUserData: true,
    ...change,
  };
}

function problemsOf(...files: readonly { readonly name: string; readonly text: string }[]): readonly string[] {
  return describeProblems(tryReadClusterFiles(files, NOTHING).problems);
}

describe('files of a cluster', () => {
  it('give its definition and its machines, each value with its place', () => {
    const files = readClusterFiles([article('cluster.yaml'), article('hardware-fixed.csv')], NOTHING);

    assert.equal(files.definition.cluster.name, 'mgmt');
    assert.deepEqual(Object.keys(files.definition.templates), ['tmpl1', 'tmpl2']);
    assert.deepEqual(
      files.hardware.map(({ name }) => name),
      ['eksabmhp1-cp-n-1', 'eksabmhp1-dp-n-1'],
    );
    const at = files.placeOf('TinkerbellMachineConfig', 'mc2', 'spec.hardwareSelector');
    assert.deepEqual(at, { file: 'cluster.yaml', line: 64, column: 5 });
    assert.equal(files.placeOf('Hardware', 'eksabmhp1-dp-n-1', 'spec.disks').file, 'hardware-fixed.csv');
  });

  it('are merged with the stored machines, which keep what is known of them', () => {
    const other = stored('other', 7);
    const known = stored('eksabmhp1-cp-n-1', 8);

    const { machines } = readClusterFiles([article('cluster.yaml'), article('hardware-fixed.csv')], {
      ...NOTHING,
      hardware: [other, known],
    });

    assert.deepEqual([...machines.keys()], ['eksabmhp1-cp-n-1', 'eksabmhp1-dp-n-1', 'other']);
    const merged = machines.get('eksabmhp1-cp-n-1');
    assert.equal(merged?.stored?.stage, 'enrolled');
    assert.deepEqual(merged?.manifest.labels, { type: 'cp' });
  });

  it('are refused with every problem of every file', () => {
    const cluster = article('cluster.yaml');
    const faulty = { ...cluster, text: cluster.text.replace('host: 192.168.10.41', 'host: 192.168.10.64') };
    const csv = article('hardware-fixed.csv');
    const faultyCsv = { ...csv, text: csv.text.replace('192.168.10.31', '192.168.10.300') };

    assert.throws(() => readClusterFiles([faulty, faultyCsv], NOTHING), {
      code: 'invalid_input',
      message: /there are \d problems/,
    });
    const problems = problemsOf(faulty, faultyCsv);
    assert.ok(
      problems.some((line) => line.startsWith('cluster.yaml:')),
      problems.join('\n'),
    );
    assert.ok(
      problems.some((line) => line.startsWith('hardware-fixed.csv:3:')),
      problems.join('\n'),
    );
  });

  it('have to hold one cluster', () => {
    const cluster = article('cluster.yaml');
    const second = { name: 'second.yaml', text: cluster.text.replaceAll('mgmt', 'site') };

    assert.deepEqual(problemsOf(article('hardware-fixed.csv')), [
      'hardware-fixed.csv: there is no Cluster in the files: add its file, -f cluster.yaml',
    ]);
    assert.ok(
      problemsOf(cluster, second).some((line) =>
        /^second\.yaml:4:9: the files hold several Clusters \(mgmt, site\): give those of one at a time$/.test(line),
      ),
    );
  });

  it('cannot take the address of another stored machine', () => {
    const other = stored('other', 7);
    const csv = article('hardware-fixed.csv');
    const address = other.spec.interfaces[0]?.dhcp?.ip?.address ?? assert.fail();
    const text = csv.text.replace('192.168.10.31,255.255.255.0,192.168.10.1', `${address},255.255.255.0,10.9.0.254`);

    const { problems } = tryReadClusterFiles([article('cluster.yaml'), { ...csv, text }], {
      ...NOTHING,
      hardware: [other],
    });

    assert.match(describeProblems(problems).join('\n'), /belongs to the stored Hardware other/);
  });
});
