import { TinsmithError } from '#proto/errors.ts';
import { networkConfigText } from '#proto/network/netplan-text.ts';
import { networkLinks } from '#proto/network/network-links.ts';
import { hardwareFacts } from '../manifests/hardware-facts.ts';
import type { Hardware } from '../store/store.ts';
import { instanceMetadata, publicKeys } from './instance-metadata.ts';

// cloud-init's NoCloud source: four files below one URL (`ds=nocloud;s=http://SERVER:7172/nocloud/`).

/**
 * The file `meta-data`: YAML, written as JSON strings, which are YAML too. The same id as EC2's: a machine that changes its source
 * is no new instance.
 */
export function nocloudMetadata(hardware: Pick<Hardware, 'name' | 'spec'>, address: string): string {
  const values = instanceMetadata(hardware, address);
  const keys = publicKeys(hardware);
  const lines = ['instance-id', 'local-hostname'].map((name) => `${name}: ${JSON.stringify(values.get(name) ?? '')}`);
  const list = keys.length === 0 ? [] : ['public-keys:', ...keys.map((key) => `  - ${JSON.stringify(key)}`)];
  return `${[...lines, ...list].join('\n')}\n`;
}

/** The file `network-config`, version 2; undefined where the record has no address, so that the system does as it likes. */
export function nocloudNetworkConfig(hardware: Pick<Hardware, 'name' | 'spec'>): string | undefined {
  try {
    return networkConfigText(networkLinks(hardwareFacts(hardware)));
  } catch (thrown) {
    if (thrown instanceof TinsmithError && thrown.code === 'invalid_params') return undefined;
    throw thrown;
  }
}
