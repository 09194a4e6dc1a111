import type { HardwareDhcp, JsonObject, JsonValue } from '../manifests/hardware-kind.ts';
import type { Hardware } from '../store/store.ts';

/** Values by path below `meta-data/`, as EC2 and Tinkerbell name them. What a machine has no value for is not in it. */
export type InstanceMetadata = ReadonlyMap<string, string>;

/**
 * `2009-04-04` is what EKS Anywhere's templates and cloud-init's Ec2 source ask, `latest` is for tools that know today's EC2.
 * The first has of EC2's tree of interfaces only the one that asks: cloud-init warns, and then calls itself degraded, where there
 * is no tree; and where it may set up the network, it asks for DHCP on every interface in it.
 */
export const METADATA_VERSIONS = ['2009-04-04', 'latest'] as const;
export type MetadataVersion = (typeof METADATA_VERSIONS)[number];

/** What a machine is told about itself; a pure reading of its record. `address`: the one it asks from. */
export function instanceMetadata(
  hardware: Pick<Hardware, 'name' | 'spec'>,
  address: string,
  version: MetadataVersion = '2009-04-04',
): InstanceMetadata {
  const { spec } = hardware;
  const { mac, hostname: reservedName, ip } = interfaceOf(spec, address);
  const instance = objectAt(spec.metadata, 'instance');
  const facility = objectAt(spec.metadata, 'facility');
  const system = objectAt(instance, 'operating_system');
  const hostname = textAt(instance, 'hostname') ?? reservedName ?? hardware.name;
  const entries: readonly (readonly [string, string | undefined])[] = [
    ['instance-id', textAt(instance, 'id') ?? mac ?? hardware.name],
    ['hostname', hostname],
    ['local-hostname', hostname],
    ['iqn', textAt(instance, 'iqn')],
    ['plan', textAt(facility, 'plan_slug')],
    ['facility', textAt(facility, 'facility_code')],
    ['tags', linesAt(instance, 'tags')],
    ['public-ipv4', instanceIp(instance, { family: 4, public: true })],
    ['public-ipv6', instanceIp(instance, { family: 6, public: true })],
    ['local-ipv4', instanceIp(instance, { family: 4, public: false }) ?? ip?.address ?? address],
    ...publicKeys(hardware).map((key, index) => [`public-keys/${index}/openssh-key`, key] as const),
    ...['slug', 'distro', 'version', 'image_tag'].map(
      (key) => [`operating-system/${key}`, textAt(system, key)] as const,
    ),
    ['operating-system/license_activation/state', textAt(objectAt(system, 'license_activation'), 'state')],
    ...(version === 'latest' ? [['mac', mac] as const] : []),
    ...interfaceTree(spec, version === 'latest' ? undefined : mac),
  ];
  return new Map(
    entries.flatMap(([path, value]) => (value === undefined || value === '' ? [] : [[path, value] as const])),
  );
}

/** SSH keys of the record's instance, each once. */
export function publicKeys({ spec }: Pick<Hardware, 'spec'>): readonly string[] {
  const keys = objectAt(spec.metadata, 'instance')?.['ssh_keys'];
  const texts = isList(keys) ? keys.filter((key) => typeof key === 'string') : [];
  return [...new Set(texts.map((key) => key.trim()).filter((key) => key !== ''))];
}

/** The interface that the machine asks from, else its first. */
function interfaceOf(spec: Hardware['spec'], address: string): Partial<HardwareDhcp> {
  const asking = spec.interfaces.find((iface) => iface.dhcp?.ip?.address === address);
  return (asking ?? spec.interfaces[0])?.dhcp ?? {};
}

/** EC2's `network/interfaces/macs/MAC/…`, of one interface or of all. */
function interfaceTree(spec: Hardware['spec'], only: string | undefined): (readonly [string, string | undefined])[] {
  return spec.interfaces.flatMap(({ dhcp }, index) => {
    if (dhcp === undefined || (only !== undefined && dhcp.mac !== only)) return [];
    const folder = `network/interfaces/macs/${dhcp.mac}`;
    const isIpv4 = dhcp.ip !== undefined && dhcp.ip.family !== 6;
    return [
      [`${folder}/device-number`, String(index)],
      [`${folder}/local-hostname`, dhcp.hostname],
      [`${folder}/${isIpv4 ? 'local-ipv4s' : 'ipv6s'}`, dhcp.ip?.address],
      [`${folder}/mac`, dhcp.mac],
    ] as const;
  });
}

/**
 * The value at a path, or the listing of a folder, one name a line, folders with a slash. Undefined: neither.
 *
 * The keys are one path with two readings. EC2 lists `0=NAME` there, whether or not a slash ends it; Tinkerbell's clients read
 * the keys themselves at `public-keys`. cloud-init, which knows both, follows the slash of the listing above: so with the slash
 * it is EC2's listing, without it Tinkerbell's keys.
 */
export function metadataAt(metadata: InstanceMetadata, path: string): string | undefined {
  const wanted = path.replace(/\/+$/, '');
  const value = metadata.get(wanted);
  if (value !== undefined) return value;
  const names = namesBelow(metadata, wanted);
  if (wanted === 'public-keys' && names.length > 0) {
    const numbers = names.map((name) => name.replace('/', ''));
    if (path.endsWith('/')) return numbers.map((number) => `${number}=key-${number}`).join('\n');
    return numbers.map((number) => metadata.get(`${wanted}/${number}/openssh-key`)).join('\n');
  }
  return names.length === 0 ? undefined : names.join('\n');
}

function namesBelow(metadata: InstanceMetadata, folder: string): readonly string[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  const names = new Set<string>();
  for (const key of metadata.keys()) {
    if (!key.startsWith(prefix)) continue;
    const [name = '', ...below] = key.slice(prefix.length).split('/');
    names.add(below.length === 0 ? name : `${name}/`);
  }
  return [...names];
}

function instanceIp(
  instance: JsonObject | undefined,
  wanted: { readonly family: number; readonly public: boolean },
): string | undefined {
  const ips = instance?.['ips'];
  if (!isList(ips)) return undefined;
  const found = ips.find(
    (ip) => isObject(ip) && (ip['family'] ?? 4) === wanted.family && (ip['public'] === true) === wanted.public,
  );
  return isObject(found) ? textAt(found, 'address') : undefined;
}

function textAt(object: JsonObject | undefined, key: string): string | undefined {
  const value = object?.[key];
  return typeof value === 'string' ? value : undefined;
}

function linesAt(object: JsonObject | undefined, key: string): string | undefined {
  const value = object?.[key];
  return isList(value) ? value.filter((item) => typeof item === 'string').join('\n') : undefined;
}

function objectAt(object: JsonObject | undefined, key: string): JsonObject | undefined {
  const value = object?.[key];
  return isObject(value) ? value : undefined;
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !isList(value);
}

function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}
