import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { describeProblems } from './describe-problems.ts';
import { loadManifests } from './load-manifests.ts';

function load(text: string) {
  const loaded = loadManifests([{ name: 't.yaml', text }]);
  return {
    templates: loaded.templates.map(({ value }) => value),
    problems: describeProblems(loaded.problems),
    warnings: describeProblems(loaded.warnings),
  };
}

function config(tasks: string, head = ''): string {
  return `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellTemplateConfig
metadata: {name: t}
spec:
  template:
    name: t
    version: "0.1"
${head}    tasks:
${tasks}`;
}

const TASK = `      - name: os
        worker: "{{.device_1}}"
        actions:
          - name: image
            image: hub/image2disk:v1
            environment: {IMG_URL: http://x/a.img, DEST_DISK: /dev/sda}
`;

test('a template is kept as it is written', () => {
  const text =
    'apiVersion: tinkerbell.org/v1alpha1\nkind: Template\nmetadata: {name: t}\nspec:\n  data: |\n    name: {{ .x }}\n';

  assert.deepEqual(load(text).templates, [
    { name: 't', labels: {}, annotations: {}, data: 'name: {{ .x }}\n', source: 'Template' },
  ]);
});

test('a fault of a Go template is placed in its own line and column of the file', () => {
  const head = 'apiVersion: tinkerbell.org/v1alpha1\nkind: Template\nmetadata: {name: t}\nspec:\n';
  const block = `${head}  data: |\n    name: a\n    tasks: {{ nope .x }}\n`;
  const quoted = `${head}  data: "name: {{ nope .x }}"\n`;

  assert.match(load(block).problems[0] ?? '', /^t\.yaml:7:15: spec\.data: function "nope" not defined/);
  assert.match(load(quoted).problems[0] ?? '', /^t\.yaml:5:9: spec\.data: template:1:10: function "nope" not defined/);
  assert.match(load(`${head}  data: ""\n`).problems[0] ?? '', /^t\.yaml:5:9: spec\.data "" is empty/);
});

test('holes inside texts survive the serialisation of a structured template', () => {
  const texts = {
    plain: '/dev/{{ .disk }}',
    whole: '{{ index .Hardware.Disks 0 }}',
    doubleQuoted: '{{ index .m "a" }}',
    bothQuotes: `it's {{ index .m "a" }}`,
    backslash: '{{ regexReplaceAll "a\\\\d" .x "y" }}',
    apostrophe: "{{ regexFind `a\\d` .x }} isn't",
    lines: 'a: 1\n{{- range $i, $n := .ns }}\n  - {{ $n | quote }}\n{{- end }}\n',
    long: `{{ .${'x'.repeat(300)} }} ${'y '.repeat(100)}z`,
  };
  const written = Object.entries(texts).map(([key, text]) => `${key}: ${JSON.stringify(text)}`);
  const { templates, problems } = load(config(TASK.replace('{IMG_URL', `{${written.join(', ')}, IMG_URL`)));

  assert.deepEqual(problems, []);
  const data = templates[0]?.data ?? '';
  assert.match(data, /^ *lines: \|$/m, 'lines stay lines');
  const environment = parse(data).tasks[0].actions[0].environment;
  for (const [key, text] of Object.entries(texts)) {
    assert.equal(environment[key], text, key);
    // The template engine sees each hole exactly as it was written.
    for (const hole of text.match(/\{\{[^\n]*?\}\}/g) ?? []) assert.ok(data.includes(hole), `${hole} in\n${data}`);
  }
});

/** One change of the good task, and the one problem that it makes. */
const FAULTS: readonly [from: string, to: string, expected: string][] = [
  [
    'hub/image2disk:v1',
    'hub/image3disk:v1',
    't.yaml:13:20: the action "image": the action image hub/image3disk:v1 names no built-in action: use one of archive2disk, cexec, grub2disk, image2disk',
  ],
  [
    'hub/image2disk:v1',
    'Image 2',
    't.yaml:13:20: spec.template.tasks[0].actions[0].image "Image 2" is not an image reference',
  ],
  ['/dev/sda', 'sda', 't.yaml:14:52: the action "image" (image2disk): DEST_DISK'],
  [
    'DEST_DISK: /dev/sda',
    'http_proxy: socks5://a, DEST_DISK: /dev/sda',
    't.yaml:14:52: the action "image" (image2disk): http_proxy',
  ],
  [
    'environment: {IMG_URL: http://x/a.img, DEST_DISK: /dev/sda}',
    'environment:\n              IMG_URL: http://x/a.img\n              DEST_DISK: sda',
    't.yaml:16:15: the action "image" (image2disk): DEST_DISK',
  ],
  ['IMG_URL: http://x/a.img, ', '', 't.yaml:12:19: the action "image" (image2disk): IMG_URL is not set'],
  [
    'environment: ',
    'timeout: -1\n            environment: ',
    't.yaml:14:22: spec.template.tasks[0].actions[0].timeout is -1',
  ],
  [
    'environment: ',
    'timeout: 2147484\n            environment: ',
    't.yaml:14:22: spec.template.tasks[0].actions[0].timeout is 2147484: write a whole number from 0 to 2147483',
  ],
  [
    'environment: ',
    'enviroment: {}\n            environment: ',
    't.yaml:14:13: spec.template.tasks[0].actions[0].enviroment is not a known field (did you mean environment?)',
  ],
  [
    'DEST_DISK: /dev/sda',
    'DEST_DISK: /dev/sda, MODE: 0644',
    't.yaml:14:79: spec.template.tasks[0].actions[0].environment.MODE is the number 0644: write it in quotes, "0644"',
  ],
  ['"{{.device_1}}"', '""', 't.yaml:10:17: spec.template.tasks[0].worker "" is empty: name the machine'],
  ['"{{.device_1}}"', '"{{.device_1"', 't.yaml:6:5: spec.template: template:'],
  ['name: image', `name: ${'x'.repeat(200)}`, 't.yaml:12:19: spec.template.tasks[0].actions[0].name'],
  ['name: os', 'name: ""', 't.yaml:9:15: spec.template.tasks[0].name "" is empty: use 1 to 199 characters'],
];

for (const [from, to, expected] of FAULTS) {
  test(`${JSON.stringify(to.slice(0, 60))} for ${JSON.stringify(from)} is refused at its place in the file`, () => {
    const { problems, templates } = load(config(TASK.replace(from, to)));

    assert.equal(problems.length, 1, problems.join('\n'));
    assert.ok(problems[0]?.startsWith(expected), problems[0]);
    assert.deepEqual(templates, []);
  });
}

test('nothing follows a restart, and no two actions or tasks have one name', () => {
  const reboot = '          - {name: image, image: reboot}\n';
  const more = '          - {name: again, image: reboot}\n';
  const { problems } = load(config(TASK + reboot + more + TASK));

  assert.deepEqual(problems, [
    't.yaml:15:20: the action name "image" is there twice: give each its own name',
    't.yaml:15:34: the action "image" (reboot) is followed by others: make it the last action of its task',
    't.yaml:17:15: the task name "os" is there twice: give each its own name',
  ]);
});

test('a template needs a task, and a task an action', () => {
  assert.deepEqual(load(config('      []\n')).problems, [
    't.yaml:9:7: spec.template.tasks is empty: add at least one task',
  ]);
  assert.deepEqual(load(config('      - {name: a, worker: w, actions: []}\n')).problems, [
    't.yaml:9:39: spec.template.tasks[0].actions is empty: add at least one action',
  ]);
});

test('what waits for a hole is not judged before it is filled', () => {
  const { problems } = load(
    config(TASK.replace('/dev/sda', '"{{ .disk }}"').replace('hub/image2disk:v1', '"{{ .image }}"')),
  );

  assert.deepEqual(problems, []);
});

test('handlers that nobody runs are accepted with a warning', () => {
  const { problems, warnings } = load(
    config(TASK.replace('environment:', 'on-timeout: [a]\n            on-failure: []\n            environment:')),
  );

  assert.deepEqual(problems, []);
  assert.deepEqual(warnings, [
    't.yaml:14:25: spec.template.tasks[0].actions[0].on-timeout is never run (Tinkerbell does not run it either): make it an action of its own',
  ]);
});

test('a value that may be a secret is not quoted', () => {
  const { problems } = load(config(TASK.replace('IMG_URL', 'REGISTRY_PASSWORD: 12345, IMG_URL')));

  assert.deepEqual(problems, [
    't.yaml:14:46: spec.template.tasks[0].actions[0].environment.REGISTRY_PASSWORD is a number: write a text, in quotes',
  ]);
});
