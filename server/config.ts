import { parseProxyUrl } from '#proto/actions/proxy.ts';
import { TinsmithError } from '#proto/errors.ts';

/** One setting: its environment variable is `TINSMITH_<NAME>` with dots as underscores, its flag `--<name>` with dots as dashes. */
interface Setting {
  readonly type: 'string' | 'number' | 'boolean' | 'list' | 'proxy';
  readonly default: string;
  readonly summary: string;
}

/** Every setting of `tinsmith serve`. README lists exactly these (tested). Times in the unit that the name says. */
export const SETTINGS = {
  'data.dir': {
    type: 'string',
    default: '/var/lib/tinsmith',
    summary: 'Folder of the database, keys, boot files and images.',
  },
  address: {
    type: 'string',
    default: '',
    summary: 'IPv4 address that machines reach the server at; empty: the address of `interface`.',
  },
  interface: {
    type: 'string',
    default: '',
    summary: 'Network interface that faces the machines; empty: the one that owns `address`.',
  },
  'dhcp.mode': {
    type: 'string',
    default: 'reservation',
    summary: '`reservation` (answers known machines), `proxy` (beside another DHCP server) or `off`.',
  },
  'dhcp.port': { type: 'number', default: '67', summary: 'UDP port of DHCP.' },
  'dhcp.pool': {
    type: 'string',
    default: '',
    summary: 'Addresses for unknown machines, `10.0.0.50-10.0.0.99`; empty: unknown machines get no answer.',
  },
  'dhcp.netmask': { type: 'string', default: '', summary: 'Netmask for pool addresses; empty: that of `interface`.' },
  'dhcp.gateway': { type: 'string', default: '', summary: 'Gateway for pool addresses.' },
  'dhcp.nameservers': { type: 'list', default: '', summary: 'Name servers for pool addresses, comma separated.' },
  'dhcp.lease': { type: 'number', default: '86400', summary: 'Lease time in seconds where Hardware names none.' },
  discovery: {
    type: 'boolean',
    default: 'false',
    summary: 'Whether unknown machines are booted and become Hardware with their inventory.',
  },
  'tftp.port': { type: 'number', default: '69', summary: 'UDP port of TFTP.' },
  'http.port': { type: 'number', default: '7171', summary: 'Machine-facing HTTP: iPXE scripts, boot files, images.' },
  'http.streams': {
    type: 'number',
    default: '8',
    summary:
      'How many machines are served images at once, first come, first finished; the others wait; 0: all at once.',
  },
  'http.egress': {
    type: 'string',
    default: '0',
    summary:
      'What all images together may take of the network, `1Gbit` or `110MB` a second, shared equally; 0: no limit.',
  },
  'metadata.port': {
    type: 'number',
    default: '7172',
    summary: 'Machine-facing HTTP: instance metadata and user data.',
  },
  'metadata.legacy.port': {
    type: 'number',
    default: '50061',
    summary: 'The same on the port that older templates name; 0: off. A port in use only warns.',
  },
  'metadata.neighbours': {
    type: 'boolean',
    default: 'true',
    summary:
      'Whether a machine on the server’s own network is refused its metadata and slurp’s uploads if the neighbour table has another MAC.',
  },
  'metadata.token.required': {
    type: 'boolean',
    default: 'false',
    summary: 'Whether metadata is given for an IMDSv2 token only; cloud-init off AWS asks without.',
  },
  'metadata.keep.secrets': {
    type: 'boolean',
    default: 'false',
    summary: 'Whether user data that holds keys is served after the system is up, too.',
  },
  'grpc.port': { type: 'number', default: '42114', summary: 'gRPC over TLS for agents.' },
  'admin.address': {
    type: 'string',
    default: '127.0.0.1',
    summary: 'Address of the admin API; only loopback addresses are accepted.',
  },
  'admin.port': { type: 'number', default: '7180', summary: 'Admin API.' },
  'boot.dir': {
    type: 'string',
    default: '',
    summary: 'Folder with `vmlinuz` and `initramfs` of the boot environment; empty: `boot` in the data folder.',
  },
  'boot.ipxe.dir': {
    type: 'string',
    default: '/usr/lib/ipxe',
    summary: 'Folder with undionly.kpxe, snponly.efi and the like, served by TFTP and HTTP.',
  },
  'boot.kernel.args': {
    type: 'string',
    default: 'console=tty0 console=ttyS0,115200',
    summary: 'Extra arguments for the boot environment’s kernel.',
  },
  'boot.giveup': {
    type: 'number',
    default: '600',
    summary: 'Seconds after which a machine that cannot reach the server restarts.',
  },
  'images.dir': {
    type: 'string',
    default: '',
    summary: 'Folder served at /images/; empty: `images` in the data folder.',
  },
  'slurp.dir': {
    type: 'string',
    default: '',
    summary: 'Folder for what the action slurp sends to `/slurp`, one folder a machine; empty: nothing is taken.',
  },
  'slurp.max': { type: 'number', default: '1024', summary: 'Longest file that slurp may send, in GiB.' },
  'library.dir': {
    type: 'string',
    default: '',
    summary: 'Folder of the image library, served at /library/; empty: `library` in the data folder.',
  },
  'library.proxy': {
    type: 'proxy',
    default: '',
    summary: 'HTTP proxy for importing images from URLs, `http://host:port`.',
  },
  'library.mirrors': {
    type: 'list',
    default: '',
    summary:
      'URLs of folders with copies of the library’s `blobs`, best first, comma separated; machines ask them before the server.',
  },
  'library.peers': {
    type: 'boolean',
    default: 'false',
    summary: 'Whether machines that write the same library image give its frames to one another; they then listen.',
  },
  'tls.ca': {
    type: 'string',
    default: '',
    summary:
      'PEM file with a site’s own authorities, which https sources and mirrors are trusted by, on the server and on machines.',
  },
  'library.import': {
    type: 'string',
    default: 'off',
    summary:
      'Outside URLs of image2disk and qemuimg2disk are imported on first use: `off`, `on` (machines fetch what cannot be imported) or `only` (they never do).',
  },
  'agent.heartbeat': { type: 'number', default: '5', summary: 'Seconds between an agent’s signs of life.' },
  'agent.lease': {
    type: 'number',
    default: '30',
    summary: 'Seconds without a sign of life after which a running action counts as lost.',
  },
  'workflow.attempts': {
    type: 'number',
    default: '3',
    summary: 'How often a workflow whose actions are all repeatable is started before it fails.',
  },
  'actions.map': {
    type: 'string',
    default: '',
    summary: 'YAML file with a site’s own names of actions, `registry.example.org/site/image: image2disk`.',
  },
  'action.timeout': {
    type: 'number',
    default: '3600',
    summary: 'Seconds an action may take where its template names no timeout.',
  },
  'log.level': { type: 'string', default: 'info', summary: '`debug`, `info`, `warn` or `error`.' },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;

type ValueOf<T extends Setting['type']> = T extends 'number'
  ? number
  : T extends 'boolean'
    ? boolean
    : T extends 'list'
      ? readonly string[]
      : string;
export type Config = { readonly [N in SettingName]: ValueOf<(typeof SETTINGS)[N]['type']> };

/** Flag of a setting: `dhcp.pool` → `dhcp-pool`. */
export function flagOf(name: string): string {
  return name.replaceAll('.', '-');
}

/** Environment variable of a setting: `dhcp.pool` → `TINSMITH_DHCP_POOL`. */
export function variableOf(name: string): string {
  return `TINSMITH_${name.replaceAll('.', '_').toUpperCase()}`;
}

const MOST_PORTS = 65_535;

/**
 * Builds the configuration: a flag beats the environment, the environment beats the default.
 * Throws `invalid_input` that names the setting, its value and where it came from.
 */
export function readConfig(
  flags: Readonly<Record<string, string | undefined>>,
  environment: NodeJS.ProcessEnv,
): Config {
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries<Setting>(SETTINGS)) {
    const flag = flags[flagOf(name)];
    const variable = environment[variableOf(name)];
    const origin = flag === undefined ? variableOf(name) : `--${flagOf(name)}`;
    values[name] = parseSetting(setting, flag ?? variable ?? setting.default, origin);
    if (name.endsWith('.port') && Number(values[name]) > MOST_PORTS) {
      throw new TinsmithError(
        'invalid_input',
        `${origin} is ${Number(values[name])}: use a port from 0 to ${MOST_PORTS}`,
      );
    }
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- built from SETTINGS, which Config is made of
  return values as Config;
}

function parseSetting(setting: Setting, text: string, origin: string): unknown {
  switch (setting.type) {
    case 'string':
      return text;
    case 'list':
      return text === '' ? [] : text.split(',').map((piece) => piece.trim());
    case 'boolean':
      return parseBoolean(text, `${origin} (${setting.summary})`);
    case 'number':
      return parseNumber(text, `${origin} (${setting.summary})`);
    case 'proxy':
      return text === '' ? '' : parseProxy(text, origin);
  }
}

/** As an action's HTTP_PROXY. */
function parseProxy(text: string, origin: string): string {
  try {
    return parseProxyUrl(origin, text);
  } catch (cause) {
    throw cause instanceof TinsmithError ? new TinsmithError('invalid_input', cause.message, { cause }) : cause;
  }
}

function parseBoolean(text: string, origin: string): boolean {
  if (['true', '1'].includes(text)) return true;
  if (['false', '0', ''].includes(text)) return false;
  throw new TinsmithError('invalid_input', `${origin} is "${text}": use true or false`);
}

function parseNumber(text: string, origin: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isInteger(value) && value >= 0) return value;
  throw new TinsmithError('invalid_input', `${origin} is "${text}": use a whole number of 0 or more`);
}
