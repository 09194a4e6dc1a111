import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { phoneCall } from './phone-call.ts';

const FORM = 'application/x-www-form-urlencoded';
const none = new URLSearchParams();

describe('a phone call', () => {
  it('without a status says that the system is up, whatever its body is', () => {
    for (const [body, type] of [
      ['instance_id=i-1&hostname=node&pub_key_ed25519=ssh-ed25519+AAAA&fqdn=node.example', FORM],
      ['', ''],
      ['{', 'application/json'],
      ['7', 'application/json'],
      ['{"status":7}', 'application/json'],
      ['\0\u{ffff}', 'application/octet-stream'],
    ] as const) {
      assert.deepEqual(phoneCall(none, body, type), { status: 'ready' }, body);
    }
  });

  it('may say that the first start failed, and why', () => {
    const failed = { status: 'failed', detail: 'kubeadm init: exit 1' };

    assert.deepEqual(phoneCall(new URLSearchParams('status=failed&detail=kubeadm init: exit 1'), '', ''), failed);
    assert.deepEqual(phoneCall(none, 'status=failed&detail=kubeadm+init%3A+exit+1', FORM), failed);
    const json = JSON.stringify({ status: 'FAILED', detail: 'kubeadm\ninit:\u{1b} exit 1' });
    assert.deepEqual(phoneCall(none, json, 'application/json; charset=utf-8'), failed);
    assert.deepEqual(phoneCall(none, 'status=failed', FORM), { status: 'failed', detail: 'it gives no reason' });
  });

  it('keeps no more of a reason than people read', () => {
    const call = phoneCall(none, `status=failed&detail=${'x'.repeat(10_000)}`, FORM);

    assert.equal(call.status === 'failed' ? call.detail.length : 0, 500);
  });

  it('with a status that nobody knows is told apart', () => {
    assert.deepEqual(phoneCall(new URLSearchParams('status=maybe'), '', ''), { status: 'unknown', text: 'maybe' });
  });
});
