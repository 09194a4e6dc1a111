import { createHash } from 'node:crypto';
import { requirementsText } from '../manifests/hardware-requirements.ts';
import { osFamilyOf } from './bootstrap/os-family.ts';
import type { PlannedGroup, PlannedUser } from './cluster-plan.ts';
import type { NodeGroup } from './node-groups.ts';

/** A group as it is shown, with the fingerprints of who may log in. */
export function plannedGroup({
  name,
  role,
  count,
  machineConfig,
  kubernetesVersion,
  rollout,
}: NodeGroup): PlannedGroup {
  const { templateRef } = machineConfig;
  return {
    name,
    role,
    count,
    needs: requirementsText(machineConfig),
    machineConfig: machineConfig.name,
    osFamily: osFamilyOf(machineConfig),
    kubernetesVersion,
    ...(templateRef === undefined ? {} : { templateRef }),
    rollout,
    users: machineConfig.users.map(({ name: user, sshAuthorizedKeys }) => ({
      name: user,
      keys: sshAuthorizedKeys.map(plannedKey),
    })),
  };
}

/** Type, fingerprint as `ssh-keygen -l` shows it, and comment of a line of authorized_keys. */
function plannedKey(line: string): PlannedUser['keys'][number] {
  const words = line.trim().split(/\s+/);
  // Options may stand before the type.
  const start = Math.max(
    0,
    words.findIndex((word) => /^(ssh|ecdsa|sk)-/.test(word)),
  );
  const [type = '', body = '', ...comment] = words.slice(start);
  const digest = createHash('sha256').update(Buffer.from(body, 'base64')).digest('base64').replace(/=+$/, '');
  return { type, fingerprint: `SHA256:${digest}`, ...(comment.length === 0 ? {} : { comment: comment.join(' ') }) };
}
