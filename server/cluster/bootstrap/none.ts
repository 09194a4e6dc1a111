import type { Bootstrapper } from './bootstrapper.ts';
import { bottlerocketAccess } from './bottlerocket-settings.ts';
import { cloudConfig } from './cloud-config.ts';
import { osFamilyOf } from './os-family.ts';

/** The machines of a cluster without Kubernetes: what runs on them is the operator's. */
export const none: Bootstrapper = {
  name: 'none',
  summary: 'Name, users, keys and time servers only; nothing is started on the nodes.',
  makeSecrets: () => Promise.resolve({}),
  userData(node) {
    if (osFamilyOf(node.group.machineConfig) === 'bottlerocket') {
      return { text: bottlerocketAccess(node), holdsKeys: false, readyBy: 'installed' };
    }
    const phoneHomeUrl = `${node.metadataUrl}/phone-home`;
    return {
      text: cloudConfig(node, { files: [], commands: [], phoneHomeUrl }),
      holdsKeys: false,
      readyBy: 'phoneHome',
    };
  },
  kubeconfig: () => Promise.resolve(undefined),
  access: () => undefined,
};
