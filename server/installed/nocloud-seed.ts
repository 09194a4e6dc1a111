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
