import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertLife } from '#test/support/life-table.ts';
import { actionLife, isRepeatable, takesMachineDown } from './action-life.ts';

describe('action life', () => {
  it('has exactly these steps', () => {
    assertLife(actionLife, [
      'pending start running',
      'pending succeed succeeded',
      'pending fail failed',
      'pending timeOut timedOut',
      'pending cancel cancelled',
      'pending skip skipped',
      'running succeed succeeded',
      'running fail failed',
      'running timeOut timedOut',
      'running cancel cancelled',
      'running lose lost',
    ]);
  });

  it('knows by the image which actions take the machine down, and which may run again', () => {
    assert.equal(takesMachineDown('public.ecr.aws/hub/reboot:v1@sha256:0'), true);
    assert.equal(takesMachineDown('kexec'), true);
    assert.equal(takesMachineDown('image2disk'), false);
    assert.equal(takesMachineDown('example.org/reboot-machine'), false);
    assert.equal(isRepeatable('hub/image2disk:latest'), true);
    assert.equal(isRepeatable('cexec'), false);
    assert.equal(isRepeatable('no-such-action'), false);
  });
});
