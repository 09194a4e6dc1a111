import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plannedWorkflow } from '#test/support/records.ts';
import { outsideFetches } from './outside-fetch.ts';

const ARCHIVE = {
  DEST_DISK: '/dev/vda1',
  DEST_PATH: '/',
  FS_TYPE: 'ext4',
  INSECURE_NO_TARFILE_CHECKSUM_VERIFICATION: 'true',
};

const isOwn = (url: URL): boolean => url.host === '10.0.0.1:7171';

function sentences(builtIn: string, environment: Readonly<Record<string, string>>): readonly string[] {
  const { rendered } = plannedWorkflow('w', ['m1'], { images: [builtIn] });
  const tasks = rendered.tasks.map((task) => ({
    ...task,
    actions: task.actions.map((action) => ({ ...action, environment })),
  }));
  return outsideFetches({ rendered: { ...rendered, tasks } }, isOwn).map(({ error }) => error.message);
}

describe('what machines would fetch outside', () => {
  it('is an archive of another server, and the server’s own is not', () => {
    const [sentence = ''] = sentences('archive2disk', {
      ...ARCHIVE,
      ARCHIVE_URL: 'https://u:hunter2@a.example/r.tgz?t=1',
    });

    assert.match(sentence, /archive2disk\) fetches https:\/\/a\.example\/r\.tgz, .*: put the archive into/);
    assert.deepEqual(sentences('archive2disk', { ...ARCHIVE, ARCHIVE_URL: 'http://10.0.0.1:7171/images/r.tgz' }), []);
  });

  it('is an image of a registry, with how it gets into the library', () => {
    const [sentence = ''] = sentences('oci2disk', { DEST_DISK: '/dev/vda', IMG_URL: 'reg.example/os/node:1' });

    assert.match(
      sentence,
      /oci2disk\) fetches reg\.example\/os\/node:1, .*tinsmith image add NAME oci:\/\/reg\.example\/os\/node:1\)/,
    );
  });

  it('is nothing that the library gives or that the action refuses', () => {
    assert.deepEqual(sentences('image2disk', { DEST_DISK: '/dev/vda', IMG_URL: 'https://a.example/d.raw' }), []);
    assert.deepEqual(sentences('oci2disk', { DEST_DISK: '/dev/vda', IMG_URL: 'no reference' }), []);
    assert.deepEqual(sentences('archive2disk', { ARCHIVE_URL: 'https://a.example/r.tgz' }), []);
  });
});
