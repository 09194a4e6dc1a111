import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { startFailure } from './start-failure.ts';

describe('startFailure', () => {
  it('names every option that a folder which cannot be used may come from', () => {
    const thrown = Object.assign(new Error('no'), { code: 'ENOENT', syscall: 'mkdir', path: '/proc/foo' });

    const failure = startFailure(thrown);

    assert.ok(failure instanceof Error);
    assert.equal(
      failure.message,
      'cannot use /proc/foo: its file system takes no new folders there (ENOENT); choose another folder with --data-dir, --boot-dir, --images-dir or --library-dir',
    );
  });
});
