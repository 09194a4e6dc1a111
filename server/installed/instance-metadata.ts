import type { HardwareDhcp, JsonObject, JsonValue } from '../manifests/hardware-kind.ts';
import type { Hardware } from '../store/store.ts';

/** Values by path below `meta-data/`, as EC2 and Tinkerbell name them. What a machine has no value for is not in it. */
export type InstanceMetadata = ReadonlyMap<string, string>;

/** What a machine is told about itself; a pure reading of its record. `address`: the one it asks from. */
export function instanceMetadata(hardware: Pick<Hardware, 'name' | 'spec'>, address: string): InstanceMetadata {
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
    ['public-keys', linesAt(instance, 'ssh_keys')],
    ...['slug', 'distro', 'version', 'image_tag'].map(
      (key) => [`operating-system/${key}`, textAt(system, key)] as const,
    ),
  ];
  return new Map(
    entries.flatMap(([path, value]) => (value === undefined || value === '' ? [] : [[path, value] as const])),
  );
}

/** The interface that the machine asks from, else its first. */
function interfaceOf(spec: Hardware['spec'], address: string): Partial<HardwareDhcp> {
  const asking = spec.interfaces.find((iface) => iface.dhcp?.ip?.address === address);
  return (asking ?? spec.interfaces[0])?.dhcp ?? {};
}

/** The value at a path, or the listing of a folder, one name a line, folders with a slash. Undefined: neither. */
export function metadataAt(metadata: InstanceMetadata, path: string): string | undefined {
  const wanted = path.replace(/\/+$/, '');
  const value = metadata.get(wanted);
  if (value !== undefined) return value;
  const prefix = wanted === '' ? '' : `${wanted}/`;
  const names = new Set<string>();
  for (const key of metadata.keys()) {
    if (!key.startsWith(prefix)) continue;
    const [name = '', ...below] = key.slice(prefix.length).split('/');
    names.add(below.length === 0 ? name : `${name}/`);
  }
  return names.size === 0 ? undefined : [...names].join('\n');
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
