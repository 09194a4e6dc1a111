import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plannedWorkflow } from '#test/support/records.ts';
import { wantedImages } from './wanted-image.ts';

describe('an image that a workflow wants', () => {
  for (const [url, file] of [
    ['http://cloud.example/a/debian.raw.xz', 'debian.raw.xz'],
    ['http://cloud.example/images/404', 'cloud.example/404'],
    ['http://cloud.example/', 'cloud.example'],
  ] as const) {
    it(`is called ${file} for ${url}`, () => {
      const { rendered } = plannedWorkflow('w', ['m1'], { images: ['image2disk'] });
      const tasks = rendered.tasks.map((task) => ({
        ...task,
        actions: task.actions.map((action) => ({ ...action, environment: { IMG_URL: url, DEST_DISK: '/dev/sda' } })),
      }));

      const wanted = wantedImages({ rendered: { ...rendered, tasks } }, () => false);

      assert.deepEqual([...new Set(wanted.map((image) => image.file))], [file]);
    });
  }
});
