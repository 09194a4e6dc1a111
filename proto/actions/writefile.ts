import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  invalidParam,
  optionalBoolean,
  optionalDurationMs,
  optionalInteger,
  optionalText,
  requiredDevice,
  requiredMode,
  requiredText,
  urlGiven,
} from './environment.ts';

/** Write one file into a file system of the installed system. */
export interface WritefileParams {
  /** Partition. */
  readonly device: string;
  readonly fileSystem: string;
  /** Absolute path on that file system. */
  readonly path: string;
  readonly content: FileContent;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  /** For directories that have to be made; they belong to uid and gid, too. */
  readonly directoryMode: number;
}

export type FileContent =
  | { readonly from: 'text'; readonly text: string }
  | { readonly from: 'bootconfig'; readonly text: string }
  | { readonly from: 'metadata'; readonly urls: readonly string[] }
  | { readonly from: 'netplan'; readonly interfaceName?: string }
  | { readonly from: 'bottlerocketNet'; readonly interfaceName?: string };

export const writefile: ActionDeclaration<WritefileParams> = {
  summary: 'Write a file with owner and mode into a partition of the installed system.',
  // The file is replaced in one step, and what is appended beside it is appended once only.
  repeatable: true,
  fixes: [
    'The file is replaced in one step, flushed and read back; its mode is exact, also setuid, setgid and sticky.',
    'Links of the target are followed inside it; `..` is refused.',
    'It waits for the node of the partition, and names the file system that it found where another was expected.',
    '`STATIC_NETPLAN` and `STATIC_BOTTLEROCKET` take the addresses of all interfaces from the Hardware; nobody asks DHCP.',
  ],
  environment: {
    DEST_DISK: 'Partition with the file system, such as /dev/sda2.',
    FS_TYPE: 'Its file system, such as ext4.',
    DEST_PATH: 'Absolute path of the file on that file system.',
    CONTENTS: 'Text of the file; may be empty.',
    BOOTCONFIG_CONTENTS:
      'Kernel boot configuration: written with the trailer that the kernel looks for (EKS Anywhere).',
    HEGEL_URLS:
      'Comma list of metadata services; the user data of the first that answers is the content (EKS Anywhere).',
    STATIC_NETPLAN: 'true: the content is a netplan file with the address of this machine (EKS Anywhere).',
    STATIC_BOTTLEROCKET: 'true: the content is a net.toml; [settings.dns] is added to /user-data.toml (EKS Anywhere).',
    IFNAME: 'MAC or VLAN id of the interface to describe, if there are several; other values are ignored.',
    DHCP_TIMEOUT: 'Accepted; the address comes from the hardware record, nobody has to be asked.',
    UID: 'Owner.',
    GID: 'Group.',
    MODE: 'Permission bits in octal, with setuid, setgid and sticky.',
    DIRMODE: 'Permission bits of directories that have to be made, in octal.',
  },
  secrets: ['CONTENTS', 'BOOTCONFIG_CONTENTS'],
  parse: parseWritefile,
};

function parseWritefile(environment: Environment): WritefileParams {
  optionalDurationMs(environment, 'DHCP_TIMEOUT');
  return {
    device: requiredDevice(environment, 'DEST_DISK', '/dev/sda2'),
    fileSystem: parseFileSystem(environment),
    path: parseFilePath(environment),
    content: parseContent(environment),
    uid: parseId(environment, 'UID'),
    gid: parseId(environment, 'GID'),
    mode: requiredMode(environment, 'MODE'),
    directoryMode: requiredMode(environment, 'DIRMODE'),
  };
}

/** FS_TYPE as mount(2) takes it; required. */
export function parseFileSystem(environment: Environment): string {
  const type = requiredText(environment, 'FS_TYPE', 'ext4').trim();
  if (/^[a-z0-9_]{1,32}$/.test(type)) return type;
  throw invalidParam('FS_TYPE', type, 'use the name of a file system, such as ext4, xfs or vfat');
}

function parseFilePath(environment: Environment): string {
  const path = requiredText(environment, 'DEST_PATH', '/etc/netplan/config.yaml');
  if (!path.startsWith('/') || path.includes('\0')) throw invalidParam('DEST_PATH', path, 'use an absolute path');
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw invalidParam('DEST_PATH', path, 'leave out the ".." parts');
  if (parts.length === 0 || path.endsWith('/')) throw invalidParam('DEST_PATH', path, 'name a file, not a directory');
  return `/${parts.join('/')}`;
}

function parseId(environment: Environment, name: string): number {
  const id = optionalInteger(environment, name, { least: 0, most: 4_294_967_294 });
  if (id !== undefined) return id;
  throw invalidParam(name, environment[name], `set it, for example ${name}=0`);
}

function parseContent(environment: Environment): FileContent {
  const bootconfig = optionalText(environment, 'BOOTCONFIG_CONTENTS');
  const urls = optionalText(environment, 'HEGEL_URLS');
  const interfaceName = optionalText(environment, 'IFNAME');
  const named = interfaceName === undefined ? {} : { interfaceName };
  const given: FileContent[] = [];
  if (bootconfig !== undefined) given.push({ from: 'bootconfig', text: bootconfig });
  if (urls !== undefined) given.push({ from: 'metadata', urls: parseMetadataUrls(urls) });
  if (optionalBoolean(environment, 'STATIC_NETPLAN') === true) given.push({ from: 'netplan', ...named });
  if (optionalBoolean(environment, 'STATIC_BOTTLEROCKET') === true) given.push({ from: 'bottlerocketNet', ...named });
  // An empty CONTENTS beside another source is what a template renders for "unused"; alone it is an empty file.
  const text = environment['CONTENTS'];
  if (text !== undefined && (text !== '' || given.length === 0)) given.push({ from: 'text', text });
  const [content, ...more] = given;
  if (content !== undefined && more.length === 0) return content;
  const names = 'CONTENTS, BOOTCONFIG_CONTENTS, HEGEL_URLS, STATIC_NETPLAN and STATIC_BOTTLEROCKET';
  const fact = content === undefined ? 'the file has no content' : `the file has ${given.length} contents`;
  throw invalidParam('CONTENTS', undefined, `${fact}, set exactly one of ${names}`);
}

function parseMetadataUrls(list: string): string[] {
  const urls = list
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  for (const text of urls) {
    if (urlGiven('HEGEL_URLS', text) === undefined) {
      throw invalidParam('HEGEL_URLS', text, 'use a comma list of http or https URLs');
    }
  }
  if (urls.length === 0) throw invalidParam('HEGEL_URLS', list, 'name at least one URL');
  return urls;
}
