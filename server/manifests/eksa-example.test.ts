import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeProblems } from './describe-problems.ts';
import { loadManifests } from './load-manifests.ts';
import { planApply } from './plan-apply.ts';

/** The published EKS Anywhere example, from its files to the actions of a machine. */

const FIXTURES = new URL('../../test/fixtures/eksa-example/', import.meta.url);

function plan(files: Readonly<Record<string, string>>) {
  const loaded = loadManifests(Object.entries(files).map(([name, text]) => ({ name, text })));
  const nothing = { hardware: [], templates: [], workflows: [] };
  const planned = planApply(loaded, nothing, { actionTimeoutMs: 1000 });
  return {
    reading: describeProblems(loaded.problems),
    problems: describeProblems(planned.problems),
    warnings: describeProblems(planned.warnings),
    change: planned.change,
    chosen: planned.change.workflows.map(({ manifest, hardware, chosen }) => [manifest.name, hardware, chosen]),
  };
}

function workflow(name: string, spec: string): string {
  return `---\napiVersion: tinkerbell.org/v1alpha1\nkind: Workflow\nmetadata: {name: ${name}}\nspec:\n  templateRef: t\n  ${spec}\n`;
}

const article = (name: string) => readFileSync(new URL(name, FIXTURES), 'utf8');
const ARTICLE_WORKFLOW = workflow('dp', 'hardwareSelector: {type: dp}').replace('templateRef: t', 'templateRef: tmpl2');

test('the published hardware file as printed has no machine for type=dp, and the sentence says what to do', () => {
  const sentence =
    'no Hardware has label type=dp: type=cp is on eksabmhp1-cp-n-1, eksabmhp1-dp-n-1 (did you mean to label eksabmhp1-dp-n-1 type=dp?)';
  const { problems, reading } = plan({
    'hardware.csv': article('hardware.csv'),
    'cluster.yaml': article('cluster.yaml'),
    'w.yaml': ARTICLE_WORKFLOW,
  });

  assert.deepEqual(reading, []);
  assert.deepEqual(problems, [`cluster.yaml:64:5: ${sentence}`, `w.yaml:7:21: ${sentence}`]);
});

test('the repaired hardware file is planned onto the machine of that label, by its MAC', () => {
  const { problems, change, chosen } = plan({
    'h.csv': article('hardware-fixed.csv'),
    'cluster.yaml': article('cluster.yaml'),
    'w.yaml': ARTICLE_WORKFLOW,
  });

  assert.deepEqual(problems, []);
  assert.deepEqual(chosen, [['dp', ['eksabmhp1-dp-n-1'], true]]);
  const [task] = change.workflows[0]?.rendered.tasks ?? [];
  assert.equal(task?.worker, '08:00:27:ac:c9:77');
  assert.deepEqual(
    task?.actions.map(({ name, timeoutMs }) => [name, timeoutMs]),
    [
      ['stream-image', 600_000],
      ['write-bootconfig', 90_000],
      ['write-user-data', 90_000],
      ['write-netplan', 90_000],
      ['reboot-image', 90_000],
    ],
  );
  assert.equal(task?.actions[1]?.environment['MODE'], '0644');
});

test('a machine config’s template must exist as a TinkerbellTemplateConfig', () => {
  const cluster = article('cluster.yaml').replace('name: tmpl1\n  users', 'name: tmpl3\n  users');
  const { problems } = plan({ 'h.csv': article('hardware-fixed.csv'), 'c.yaml': cluster });

  assert.deepEqual(problems, ['c.yaml:52:11: there is no TinkerbellTemplateConfig "tmpl3" (did you mean tmpl1?)']);
});

test('a cluster file alone, before there is any machine, is warned about and not refused', () => {
  const { problems, warnings } = plan({ 'c.yaml': article('cluster.yaml') });

  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, [
    'c.yaml:48:5: no Hardware has label type=cp: there is no Hardware yet',
    'c.yaml:64:5: no Hardware has label type=dp: there is no Hardware yet',
  ]);
});

/** The shape of EKS Anywhere's own template for Ubuntu: a network file with loops and conditions in a literal block. */
const UBUNTU = `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellTemplateConfig
metadata: {name: t}
spec:
  template:
    name: t
    version: "0.1"
    global_timeout: 6000
    tasks:
      - name: t
        worker: '{{.device_1}}'
        volumes: [/dev:/dev]
        actions:
          - name: write netplan config
            image: 127.0.0.1/embedded/writefile
            timeout: 90
            pid: host
            environment:
              DEST_DISK: '{{ formatPartition ( index .Hardware.Disks 0 ) 2 }}'
              DEST_PATH: /etc/netplan/config.yaml
              DIRMODE: "0755"
              FS_TYPE: ext4
              GID: "0"
              MODE: "0644"
              UID: "0"
              CONTENTS: |
                network:
                  version: 2
                  {{- $nic := (index .Hardware.Interfaces 0).DHCP }}
                  ethernets:
                    {{ if $nic.VLANID }}mainif{{ else }}id0{{ end }}:
                      match: {macaddress: {{ $nic.MAC }}}
                      addresses: [{{ $nic.IP.Address }}/{{ netmaskToPrefixLength $nic.IP.Netmask }}]
                      nameservers:
                        addresses: [{{ range $i, $ns := $nic.NameServers }}{{ if $i }}, {{ end }}{{ $ns }}{{ end }}]
                      {{- if $nic.IP.Gateway }}
                      routes: [{to: default, via: {{ $nic.IP.Gateway }}}]
                      {{- end }}
          - {name: reboot, image: 127.0.0.1/embedded/reboot, timeout: 90, pid: host, volumes: [/worker:/worker]}
`;

test('a network file with loops and conditions is rendered for the machine as Tinkerbell renders it', () => {
  const csv = article('hardware-fixed.csv').replace('8.8.8.8,type=dp,/dev/sda', '8.8.8.8|1.1.1.1,type=dp,/dev/nvme0n1');
  const { reading, problems, change } = plan({
    'h.csv': csv,
    't.yaml': UBUNTU + workflow('w', 'hardwareSelector: {type: dp}'),
  });

  assert.deepEqual([...reading, ...problems], []);
  const environment = change.workflows[0]?.rendered.tasks[0]?.actions[0]?.environment;
  assert.equal(environment?.['DEST_DISK'], '/dev/nvme0n1p2');
  assert.equal(
    environment?.['CONTENTS'],
    `network:
  version: 2
  ethernets:
    id0:
      match: {macaddress: 08:00:27:ac:c9:77}
      addresses: [192.168.10.31/24]
      nameservers:
        addresses: [8.8.8.8, 1.1.1.1]
      routes: [{to: default, via: 192.168.10.1}]
`,
  );
});
