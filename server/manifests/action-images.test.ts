import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { catalog } from '#proto/actions/catalog.ts';
import { TinsmithError } from '#proto/errors.ts';
import { builtInOf, readActionImages } from './action-images.ts';
import { loadManifests } from './load-manifests.ts';
import { planApply } from './plan-apply.ts';

const SITE = 'registry.example.org:5000/site/write-image: image2disk\nmy-files: writefile\n';

function faults(text: string): readonly string[] {
  try {
    readActionImages({ name: 'map.yaml', text });
  } catch (thrown) {
    assert.ok(thrown instanceof TinsmithError && thrown.code === 'invalid_input');
    return thrown.problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
  }
  return [];
}

function template(image: string): string {
  return `apiVersion: anywhere.eks.amazonaws.com/v1alpha1
kind: TinkerbellTemplateConfig
metadata: { name: t }
spec:
  template:
    name: t
    version: "0.1"
    tasks:
      - name: t
        worker: "{{.device_1}}"
        actions:
          - name: a
            image: ${image}
            environment: { IMG_URL: "http://192.0.2.1/x.gz", DEST_DISK: /dev/sda }
---
apiVersion: tinkerbell.org/v1alpha1
kind: Hardware
metadata: { name: node-1 }
spec: { interfaces: [{ dhcp: { mac: "52:54:00:00:00:01" } }] }
---
apiVersion: tinkerbell.org/v1alpha1
kind: Workflow
metadata: { name: w }
spec: { templateRef: t, hardwareRef: node-1, hardwareMap: { device_1: "52:54:00:00:00:01" } }
`;
}

describe('a site’s own names of actions', () => {
  it('are whole references or base names, whatever tag or digest comes along', () => {
    const site = readActionImages({ name: 'map.yaml', text: SITE });

    for (const [image, expected] of [
      ['registry.example.org:5000/site/write-image', 'image2disk'],
      ['registry.example.org:5000/site/write-image:v2@sha256:abc', 'image2disk'],
      ['elsewhere/my-files:1', 'writefile'],
      ['quay.io/tinkerbell/actions/cexec:latest', 'cexec'],
    ] as const) {
      assert.equal(builtInOf(image, site), expected, image);
    }
    assert.throws(() => builtInOf('elsewhere/write-image', site), {
      code: 'unknown_action',
      message: /one of archive2disk.*this site's names: registry\.example\.org:5000\/site\/write-image, my-files/,
    });
  });

  it('let templates name them, which workflows then keep as built-ins', () => {
    const actionImages = readActionImages({ name: 'map.yaml', text: SITE });
    const files = [{ name: 't.yaml', text: template('registry.example.org:5000/site/write-image:v2') }];
    const nothing = { hardware: [], templates: [], workflows: [] };

    const loaded = loadManifests(files, actionImages);
    const plan = planApply(loaded, nothing, { actionTimeoutMs: 1000, actionImages });

    assert.deepEqual([...loaded.problems, ...plan.problems], []);
    assert.equal(plan.change.workflows[0]?.rendered.tasks[0]?.actions[0]?.image, 'image2disk');
    assert.match(loadManifests(files).problems[0]?.message ?? '', /names no built-in action/);
  });

  it('are refused with their places', () => {
    const builtIns = Object.keys(catalog).toSorted().join(', ');
    assert.deepEqual(faults('a: image2dsik\nb/c:v1: cexec\ncexec: writefile\n"x y": cexec\n'), [
      `1:4 actions.a "image2dsik" is not one of ${builtIns} (did you mean image2disk?)`,
      '2:1 actions: the key "b/c:v1" has a tag or a digest: leave it out, the name counts for all of them',
      '3:1 actions: the key "cexec" is a built-in itself: write the whole reference of your image',
      '4:1 actions: the key "x y" is no image name',
    ]);
    assert.match(faults('- a\n').join(), /write a map/);
    assert.match(faults('a: [').join(), /1:/);
    assert.deepEqual(faults('# nothing yet\n'), []);
  });
});
