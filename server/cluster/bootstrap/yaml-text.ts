import { stringify } from 'yaml';

/**
 * YAML for readers of both versions: cloud-init and kubeadm read 1.1, where `yes`, `on` and `1:30` are no strings, so
 * these are quoted. Lines are never folded.
 */
export function yamlText(value: object): string {
  return stringify(value, { version: '1.1', lineWidth: 0, aliasDuplicateObjects: false });
}
