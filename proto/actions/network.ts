import type { ActionDeclaration } from './declaration.ts';
import { type Environment, invalidParam, optionalText, requiredDevice, requiredText } from './environment.ts';
import { parseFileSystem } from './writefile.ts';

/** Write the network configuration of the installed system, from the Hardware record. */
export interface NetworkParams {
  readonly format: NetworkFormat;
  /** Partition. */
  readonly device: string;
  readonly fileSystem: string;
  /** A file; for NetworkManager the folder of its files. */
  readonly path: string;
}

export type NetworkFormat = keyof typeof PATHS;

/** Where each format's reader looks. */
const PATHS = {
  netplan: '/etc/netplan/config.yaml',
  networkmanager: '/etc/NetworkManager/system-connections',
  bottlerocket: '/net.toml',
} as const;

export const network: ActionDeclaration<NetworkParams> = {
  summary: 'Write the network configuration of the installed system (cards, bonds, VLANs, routes) from its Hardware.',
  // Files are replaced in one step, and what is appended beside them is appended once only.
  repeatable: true,
  environment: {
    FORMAT: 'netplan, networkmanager or bottlerocket.',
    DEST_DISK: 'Partition with the file system, such as /dev/sda2.',
    FS_TYPE: 'Its file system, such as ext4.',
    DEST_PATH: `Another place than ${Object.values(PATHS).join(', ')} (of networkmanager the folder).`,
  },
  parse: parseNetwork,
};

function parseNetwork(environment: Environment): NetworkParams {
  const word = requiredText(environment, 'FORMAT', 'netplan').trim().toLowerCase();
  if (!isFormat(word)) throw invalidParam('FORMAT', word, `use one of ${Object.keys(PATHS).join(', ')}`);
  return {
    format: word,
    device: requiredDevice(environment, 'DEST_DISK', '/dev/sda2'),
    fileSystem: parseFileSystem(environment),
    path: parsePath(environment, word),
  };
}

function isFormat(word: string): word is NetworkFormat {
  return Object.hasOwn(PATHS, word);
}

function parsePath(environment: Environment, format: NetworkFormat): string {
  const path = optionalText(environment, 'DEST_PATH') ?? PATHS[format];
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  const isPlain = path.startsWith('/') && !path.includes('\0') && !parts.includes('..') && parts.length > 0;
  if (isPlain) return `/${parts.join('/')}`;
  throw invalidParam('DEST_PATH', path, 'use an absolute path without ".." parts');
}
