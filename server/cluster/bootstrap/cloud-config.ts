import type { NodeBootstrap } from './bootstrapper.ts';
import { nodeName } from './node-identity.ts';
import { yamlText } from './yaml-text.ts';

/** A file on the node, by cloud-init's `write_files`. */
export interface NodeFile {
  readonly path: string;
  readonly content: string;
  /** Four octal digits; `0600` whatever is secret. */
  readonly permissions: '0600' | '0644' | '0700' | '0755';
}

/** What is put into a cloud-config besides name, users and time servers. */
export interface CloudConfigParts {
  readonly files: readonly NodeFile[];
  /** Program and arguments of each command, run once at the end of the first boot; no shell reads them. */
  readonly commands: readonly (readonly string[])[];
  /** Call home when cloud-init is through, whatever came of `commands`. */
  readonly phoneHomeUrl?: string;
}

/**
 * User data for cloud-init (Ubuntu, RHEL, Debian): users with their keys and without passwords, time servers, files, commands.
 * Only what every cloud-init since 20.3 knows.
 */
export function cloudConfig(
  { hardware, group }: Pick<NodeBootstrap, 'hardware' | 'group'>,
  parts: CloudConfigParts,
): string {
  const { users, ntpServers } = group.machineConfig;
  const document = {
    hostname: nodeName(hardware),
    preserve_hostname: false,
    users: users.map(({ name, sshAuthorizedKeys }) => ({
      name,
      shell: '/bin/bash',
      sudo: 'ALL=(ALL) NOPASSWD:ALL',
      lock_passwd: true,
      ...(sshAuthorizedKeys.length === 0 ? {} : { ssh_authorized_keys: sshAuthorizedKeys }),
    })),
    ...(ntpServers.length === 0 ? {} : { ntp: { enabled: true, servers: ntpServers } }),
    ...(parts.files.length === 0 ? {} : { write_files: parts.files.map((file) => ({ owner: 'root:root', ...file })) }),
    ...(parts.commands.length === 0 ? {} : { runcmd: parts.commands }),
    ...(parts.phoneHomeUrl === undefined
      ? {}
      : { phone_home: { url: parts.phoneHomeUrl, post: ['instance_id', 'hostname'], tries: 10 } }),
  };
  return `#cloud-config\n${yamlText(document)}`;
}
