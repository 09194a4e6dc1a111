import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TinsmithError } from '#proto/errors.ts';
import type { Inventory } from '#proto/inventory.ts';
import { clusterYaml, hardwareCsv } from '#test/support/cluster-files.ts';
import { exampleFile, type PlanFile, type PlanSituation, planOf, storedMachine } from '#test/support/plan-world.ts';
import { plannedWorkflow } from '#test/support/records.ts';
import { describeProblems } from '../manifests/describe-problems.ts';
import type { ClusterNode, Workflow } from '../store/store.ts';
import { DEFAULT_CLUSTER_OPTIONS } from './cluster-options.ts';
import type { ClusterPlan } from './cluster-plan.ts';
import { readClusterFiles } from './cluster-request.ts';
import { nodeGroups } from './node-groups.ts';
import { nodeRevision } from './node-revision.ts';

const AT = new Date('2026-01-01T00:00:00Z');
const HOST = { hostAddresses: ['10.9.0.254'], site: { metadataUrl: 'http://10.9.0.254:7172', actionTimeoutMs: 1000 } };

type ClusterText = Parameters<typeof clusterYaml>[0];

function files(cluster: ClusterText, machines: Readonly<Record<number, string>>): readonly PlanFile[] {
  return [
    { name: 'c.yaml', text: clusterYaml(cluster) },
    { name: 'h.csv', text: hardwareCsv(machines) },
  ];
}

function plan(given: readonly PlanFile[], { environment, ...situation }: PlanSituation = {}): ClusterPlan {
  return planOf(given, { ...situation, environment: { ...HOST, ...environment } });
}

/** `1 m1 control-plane added init`. */
function nodesOf({ nodes }: ClusterPlan): readonly string[] {
  return nodes.map(({ order = '-', machine, group, fate, step = '' }) =>
    `${order} ${machine} ${group} ${fate} ${step}`.trim(),
  );
}

const problems = (of: ClusterPlan): readonly string[] => describeProblems(of.problems);
const warnings = (of: ClusterPlan): readonly string[] => describeProblems(of.warnings);

/** A cluster of these files that is up, its nodes made from `from` (default: the same files). */
function existing(
  given: readonly PlanFile[],
  nodes: Readonly<Record<string, string>>,
): NonNullable<PlanSituation['existing']> {
  const { definition } = readClusterFiles(given, { hardware: [], templates: [], workflows: [] });
  const revisions = new Map(nodeGroups(definition).map((group) => [group.name, nodeRevision(definition, group)]));
  return {
    cluster: {
      name: definition.cluster.name,
      version: 4,
      createdAt: AT,
      state: 'ready',
      stateAt: AT,
      definition,
      options: DEFAULT_CLUSTER_OPTIONS,
      released: [],
    },
    nodes: Object.entries(nodes).map(
      ([hardware, group], index): ClusterNode => ({
        hardware,
        cluster: definition.cluster.name,
        group,
        role: group === 'control-plane' ? 'controlPlane' : 'worker',
        revision: revisions.get(group) ?? '',
        initialises: index === 0,
        state: 'ready',
        stateAt: AT,
        claimedAt: new Date(AT.getTime() + index * 1000),
        tries: 1,
      }),
    ),
  };
}

/** Stored machines `m<number>` of a type, the first `claimed` of them nodes of c1. */
function stored(machines: Readonly<Record<number, string>>, claimed: readonly number[]) {
  return Object.entries(machines).map(([number, type]) =>
    storedMachine(`m${number}`, Number(number), {
      labels: { type },
      stage: claimed.includes(Number(number)) ? 'installed' : 'enrolled',
      ...(claimed.includes(Number(number)) && {
        claim: { cluster: 'c1', group: type === 'cp' ? 'control-plane' : 'md-0' },
      }),
    }),
  );
}

// Of an inventory only the disks count here.
const inventory = (disks: Inventory['disks']) => ({ disks }) as Inventory;
const userDataOf = (): never => {
  throw new TinsmithError('invalid_input', 'k3s does not run on Bottlerocket: choose ubuntu');
};

describe('plan of a new cluster', () => {
  it('installs the control plane one after the other, then the workers, and tells the spares', () => {
    const machines = { 1: 'dp', 2: 'cp', 3: 'cp', 4: 'cp', 5: 'dp', 6: 'dp', 7: 'other', 8: 'cp' };

    const made = plan(files({ controlPlane: 3, workers: 2 }, machines));

    assert.deepEqual(problems(made), []);
    assert.deepEqual(nodesOf(made), [
      '1 m2 control-plane added init',
      '2 m3 control-plane added joinControlPlane',
      '3 m4 control-plane added joinControlPlane',
      '4 m1 md-0 added joinWorker',
      '5 m5 md-0 added joinWorker',
    ]);
    assert.deepEqual(made.spares, [
      { needs: 'type=cp', groups: ['control-plane'], machines: ['m8'] },
      { needs: 'type=dp', groups: ['md-0'], machines: ['m6'] },
    ]);
    assert.deepEqual(made.unfit, [{ machine: 'm7', labels: { type: 'other' }, reason: 'no group wants its labels' }]);
  });

  it('renders the actions of every machine with its own values and shows no secret', () => {
    const made = plan(files({}, { 1: 'cp', 2: 'dp' }));

    const [first] = made.workflows;
    assert.equal(first?.workflow, 'm1-install-1');
    assert.equal(first?.template, 'c1-control-plane');
    assert.deepEqual(
      first?.actions.map(({ environment }) => environment['DEST_PATH'] ?? environment['DEST_DISK'] ?? ''),
      [
        '/dev/sda',
        '/etc/netplan/config.yaml',
        '/etc/cloud/cloud.cfg.d/99-disable-network-config.cfg',
        '/etc/cloud/cloud.cfg.d/10_tinkerbell.cfg',
        '/etc/cloud/ds-identify.cfg',
        '',
      ],
    );
    assert.equal(first?.actions[1]?.environment['CONTENTS'], '(redacted)');
    assert.deepEqual(first?.userData, { kind: 'settings in TOML', sizeBytes: 11_000, holdsKeys: true });
    assert.doesNotMatch(JSON.stringify(made), /\[settings\]/);
  });

  it('takes no machine that is a node, retired or at work, and says so', () => {
    const machines = { 1: 'cp', 2: 'cp', 3: 'cp', 4: 'cp', 5: 'dp' };
    const [m1, m2, m3, m4, m5] = stored(machines, []);
    assert.ok(m1 && m2 && m3 && m4 && m5);
    // Of a workflow only its state and its machines count here.
    const working = {
      ...plannedWorkflow('w', ['m3']).manifest,
      state: 'running',
      hardware: ['m3'],
    } as unknown as Workflow;
    const hardware = [
      { ...m1, claim: { cluster: 'c9', group: 'md-0' } },
      { ...m2, stage: 'retired' as const },
      m3,
      m4,
      m5,
    ];

    const made = plan([{ name: 'c.yaml', text: clusterYaml() }], { hardware, workflows: [working] });

    assert.deepEqual(nodesOf(made), ['1 m4 control-plane added init', '2 m5 md-0 added joinWorker']);
    assert.deepEqual(
      made.unfit.map(({ machine, reason }) => `${machine} ${reason}`),
      ['m1 is a node of cluster c9', 'm2 is retired', 'm3 has an unfinished workflow'],
    );
  });

  it('tells the disks that are erased with what the agent saw of them', () => {
    const [m1, m2] = stored({ 1: 'cp', 2: 'dp' }, []);
    assert.ok(m1 && m2);
    const disk = {
      device: '/dev/sda',
      sizeBytes: 5e11,
      logicalBlockBytes: 512,
      rotational: false,
      model: 'X1',
      serial: 'S9',
    };
    const hardware = [
      { ...m1, inventory: inventory([disk]) },
      { ...m2, inventory: inventory([{ ...disk, device: '/dev/nvme0n1' }]) },
    ];

    const made = plan(files({}, { 1: 'cp', 2: 'dp' }), { hardware });

    assert.deepEqual(made.disks, [
      {
        machine: 'm1',
        device: '/dev/sda',
        actions: ['stream image to disk'],
        contents: 'contents not known',
        found: { device: '/dev/sda', sizeBytes: 5e11, model: 'X1', serial: 'S9' },
      },
      { machine: 'm2', device: '/dev/sda', actions: ['stream image to disk'], contents: 'contents not known' },
    ]);
    assert.deepEqual(
      warnings(made).filter((line) => line.includes('/dev/sda')),
      ['h.csv:3:1: m2: its agent saw no disk /dev/sda: it has /dev/nvme0n1 (500 GB, X1, serial S9)'],
    );
  });

  it('merges the machines of files with what is stored of them', () => {
    const [m1] = stored({ 1: 'wrong' }, [1]);
    assert.ok(m1);
    const { claim: _, ...free } = m1;

    const made = plan(files({}, { 1: 'cp', 2: 'dp' }), { hardware: [free] });

    assert.deepEqual(nodesOf(made), ['1 m1 control-plane added init', '2 m2 md-0 added joinWorker']);
    assert.equal(made.disks[0]?.contents, 'a system installed from here');
  });
});

describe('what a plan refuses', () => {
  it('is the published hardware file as printed, with the place and the label that was meant', () => {
    const made = planOf([exampleFile('cluster.yaml'), exampleFile('hardware.csv')]);

    assert.deepEqual(problems(made), [
      'cluster.yaml:64:5: no Hardware has label type=dp: type=cp is on eksabmhp1-cp-n-1, eksabmhp1-dp-n-1 (did you mean to label eksabmhp1-dp-n-1 type=dp?)',
    ]);
  });

  it('is too few machines for the sum of groups that share a selector', () => {
    const text = clusterYaml({ controlPlane: 3, workers: 2 }).replaceAll('type: dp', 'type: cp');

    const made = plan([
      { name: 'c.yaml', text },
      { name: 'h.csv', text: hardwareCsv({ 1: 'cp', 2: 'cp', 3: 'cp', 4: 'other' }) },
    ]);

    assert.deepEqual(problems(made), [
      'c.yaml:15:61: control-plane, md-0 need 5 machines with type=cp together and 3 are free (m1, m2, m3): add 2, or lower a count (labels that exist: type=cp on m1, m2, m3; type=other on m4)',
    ]);
  });

  it('is a group whose machines all have other work, naming it', () => {
    const machines = { 1: 'cp', 2: 'dp' };
    const hardware = stored(machines, []).map((machine) =>
      machine.name === 'm2' ? { ...machine, claim: { cluster: 'c9', group: 'md-0' } } : machine,
    );

    const made = plan([{ name: 'c.yaml', text: clusterYaml() }], { hardware });

    assert.match(
      problems(made).join('\n'),
      /md-0 needs 1 machine with type=dp and none is free; m2 is a node of cluster c9: add 1/,
    );
  });

  it('is an address that somebody else has, but not one that its own machine has', () => {
    const given = files({}, { 1: 'cp', 2: 'dp' });
    const taken = {
      '10.9.0.200': { detail: 'answers on port 80' },
      '10.9.0.1': { mac: '02:00:00:00:00:01' },
      '10.9.0.2': { mac: '02:00:00:00:00:77' },
    };

    const made = plan(given, { taken });

    assert.deepEqual(
      problems(made).map((line) => line.replace(/: switch.*/, '')),
      [
        'c.yaml:14:23: the address 10.9.0.200 of control plane endpoint is in use (answers on port 80)',
        'h.csv:3:22: the address 10.9.0.2 of node m2 is in use (MAC 02:00:00:00:00:77)',
      ],
    );
    assert.deepEqual(
      made.addresses.map(({ address, state }) => `${address} ${state}`),
      ['10.9.0.200 taken', '10.9.0.254 own', '10.9.0.1 own', '10.9.0.2 taken'],
    );
  });

  it('is an endpoint or a node with an address of this host', () => {
    const made = plan(files({}, { 1: 'cp', 2: 'dp' }), { environment: { hostAddresses: ['10.9.0.200', '10.9.0.2'] } });

    assert.match(problems(made).join('\n'), /the endpoint 10\.9\.0\.200 is an address of this host/);
    assert.match(problems(made).join('\n'), /the address 10\.9\.0\.2 of node m2 is one of this host/);
    assert.match(
      warnings(made).join('\n'),
      /the tinkerbellIP 10\.9\.0\.254 is no address of this host \(10\.9\.0\.200, 10\.9\.0\.2\)/,
    );
  });

  it('is what the bootstrapper cannot do', () => {
    const made = plan(files({}, { 1: 'cp', 2: 'dp' }), { environment: { userDataOf } });

    assert.deepEqual(problems(made), [
      'c.yaml:32:19: k3s does not run on Bottlerocket: choose ubuntu',
      'c.yaml:42:19: k3s does not run on Bottlerocket: choose ubuntu',
    ]);
  });

  it('is a template that does not render for a machine', () => {
    const cluster = exampleFile('cluster.yaml');
    const text = cluster.text.replace('DEST_DISK: /dev/sda\n', "DEST_DISK: '{{ index .Hardware.Disks 3 }}'\n");

    const made = planOf([{ ...cluster, text }, exampleFile('hardware-fixed.csv')]);

    assert.match(
      problems(made).join('\n'),
      /Template mgmt-control-plane for Workflow eksabmhp1-cp-n-1-install-1.*index out of range/,
    );
  });
});

describe('what a plan warns about', () => {
  it('is a machine that two selectors fit; every group still gets its own', () => {
    const csv = hardwareCsv({ 1: 'cp', 2: 'cp' }).replace('type=cp,', 'type=cp|rack=a,');
    const text = clusterYaml().replace('{ type: dp }', '{ rack: a }');

    const made = plan([
      { name: 'c.yaml', text },
      { name: 'h.csv', text: csv },
    ]);

    assert.deepEqual(problems(made), []);
    assert.deepEqual(nodesOf(made), ['1 m2 control-plane added init', '2 m1 md-0 added joinWorker']);
    assert.match(
      warnings(made).join('\n'),
      /h\.csv:2:\d+: m1 fits several selectors \(type=cp, rack=a\) of control-plane, md-0/,
    );
  });

  it('is an endpoint inside the DHCP pool', () => {
    const pool = { first: '10.9.0.150', last: '10.9.0.220' };

    const made = plan(files({}, { 1: 'cp', 2: 'dp' }), { environment: { pool } });

    assert.match(
      warnings(made).join('\n'),
      /c\.yaml:14:23: the endpoint 10\.9\.0\.200 lies in the DHCP pool 10\.9\.0\.150-10\.9\.0\.220/,
    );
  });
});

describe('plan of a change', () => {
  const machines = { 1: 'cp', 2: 'dp', 3: 'dp' };

  it('keeps the nodes and adds what is missing', () => {
    const before = files({}, machines);
    const hardware = stored(machines, [1, 2]);

    const made = plan([{ name: 'c.yaml', text: clusterYaml({ workers: 2 }) }], {
      hardware,
      existing: existing(before, { m1: 'control-plane', m2: 'md-0' }),
    });

    assert.deepEqual(problems(made), []);
    assert.equal(made.kind, 'change');
    assert.deepEqual(nodesOf(made), ['1 m3 md-0 added joinWorker', '- m1 control-plane kept', '- m2 md-0 kept']);
    assert.deepEqual(
      made.disks.map(({ machine }) => machine),
      ['m3'],
    );
  });

  it('tells who leaves when a group shrinks', () => {
    const before = files({ workers: 2 }, machines);

    const made = plan([{ name: 'c.yaml', text: clusterYaml({ workers: 1 }) }], {
      hardware: stored(machines, [1, 2, 3]),
      existing: existing(before, { m1: 'control-plane', m2: 'md-0', m3: 'md-0' }),
    });

    assert.deepEqual(nodesOf(made), ['- m1 control-plane kept', '- m2 md-0 kept', '- m3 md-0 removed']);
    assert.match(made.nodes[2]?.reason ?? '', /the group md-0 is to have 1 nodes/);
  });

  it('renews a group with a spare, whose place the old machine takes', () => {
    const before = files({ version: '1.30' }, { 1: 'cp', 2: 'dp', 3: 'dp', 4: 'cp' });
    const text = clusterYaml({ version: '1.31' });

    const made = plan([{ name: 'c.yaml', text }], {
      hardware: stored({ 1: 'cp', 2: 'dp', 3: 'dp', 4: 'cp' }, [1, 2]),
      existing: existing(before, { m1: 'control-plane', m2: 'md-0' }),
    });

    assert.deepEqual(problems(made), []);
    assert.deepEqual(nodesOf(made), [
      '1 m4 control-plane added joinControlPlane',
      '2 m3 md-0 added joinWorker',
      '- m1 control-plane removed',
      '- m2 md-0 removed',
    ]);
    assert.match(made.nodes[0]?.reason ?? '', /spare while the group is renewed/);
  });

  it('renews machines in place where there is no spare, and refuses that for the only control-plane machine', () => {
    const before = files({ version: '1.30' }, machines);
    const next = [{ name: 'c.yaml', text: clusterYaml({ version: '1.31' }) }];
    const situation = {
      hardware: stored({ 1: 'cp', 2: 'dp' }, [1, 2]),
      existing: existing(before, { m1: 'control-plane', m2: 'md-0' }),
    };

    const refused = plan(next, situation);
    const forced = plan(next, { ...situation, options: { loseState: true } });

    assert.match(problems(refused).join('\n'), /c\.yaml:4:9: the only control-plane node m1 cannot be made anew/);
    assert.deepEqual(problems(forced), []);
    assert.deepEqual(nodesOf(forced), ['1 m1 control-plane renewed init', '2 m2 md-0 renewed joinWorker']);
  });

  it('refuses what cannot be changed', () => {
    const before = files({}, machines);
    const text = clusterYaml().replace('192.168.0.0/16', '172.16.0.0/16');

    const made = plan([{ name: 'c.yaml', text }], {
      hardware: stored(machines, [1, 2]),
      existing: existing(before, { m1: 'control-plane', m2: 'md-0' }),
    });

    assert.match(problems(made).join('\n'), /c\.yaml:\d+:\d+: the network of the pods cannot be changed/);
  });
});
