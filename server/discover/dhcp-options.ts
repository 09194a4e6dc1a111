import { isIPv4 } from 'node:net';

/** Option codes: RFC 2132, RFC 4578 (PXE), RFC 3004 (77), RFC 3046 (82), RFC 3397 (119), RFC 3442 (121), iPXE (175). */
export const OPTION = {
  pad: 0,
  subnetMask: 1,
  router: 3,
  nameServers: 6,
  hostname: 12,
  domainName: 15,
  broadcast: 28,
  timeServers: 42,
  vendorInfo: 43,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  maxMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClass: 60,
  clientId: 61,
  tftpServerName: 66,
  bootFileName: 67,
  userClass: 77,
  relayAgent: 82,
  architecture: 93,
  clientMachineId: 97,
  domainSearch: 119,
  classlessRoutes: 121,
  ipxe: 175,
  end: 255,
} as const;

export type OptionMap = ReadonlyMap<number, Buffer>;

const MESSAGE_TYPES = ['discover', 'offer', 'request', 'decline', 'ack', 'nak', 'release', 'inform'] as const;
export type MessageType = (typeof MESSAGE_TYPES)[number];

/** Option 53; undefined for BOOTP, for unknown types and for a value of the wrong length. */
export function messageTypeOf(options: OptionMap): MessageType | undefined {
  const value = options.get(OPTION.messageType);
  return value?.length === 1 ? MESSAGE_TYPES[value.readUInt8(0) - 1] : undefined;
}

export function messageType(type: MessageType): Buffer {
  return Buffer.from([MESSAGE_TYPES.indexOf(type) + 1]);
}

/** A single IPv4 address; undefined when absent or not of four bytes. */
export function addressOf(options: OptionMap, code: number): string | undefined {
  const value = options.get(code);
  return value?.length === 4 ? value.join('.') : undefined;
}

/** IPv4 addresses in network order. What is no IPv4 address (a host name, IPv6) has no place in these options and is left out. */
export function addresses(list: readonly string[]): Buffer {
  return Buffer.from(list.filter((address) => isIPv4(address)).flatMap((address) => address.split('.').map(Number)));
}

export function seconds(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Vendor class (60): ASCII, some clients end it with NUL. */
export function vendorClassOf(options: OptionMap): string {
  const value = options.get(OPTION.vendorClass);
  return value === undefined ? '' : value.toString('latin1').replace(/\0+$/, '');
}

/** Architectures (93), 16 bits each (RFC 4578 §2.1). Without it: the one in the vendor class `PXEClient:Arch:00007:UNDI:…`. */
export function architecturesOf(options: OptionMap): readonly number[] {
  const value = options.get(OPTION.architecture);
  if (value !== undefined) {
    const pairs = Math.floor(value.length / 2);
    return Array.from({ length: pairs }, (_, index) => value.readUInt16BE(index * 2));
  }
  const written = /:Arch:(\d{5})/.exec(vendorClassOf(options))?.[1];
  return written === undefined ? [] : [Number(written)];
}

/**
 * iPXE sends `iPXE` as its user class, as bare text (which RFC 3004 doesn't allow, but all iPXE do) or in length-prefixed
 * instances, and its own encapsulated options (175).
 */
export function isIpxe(options: OptionMap): boolean {
  if (options.has(OPTION.ipxe)) return true;
  const value = options.get(OPTION.userClass);
  if (value === undefined) return false;
  return value.toString('latin1') === 'iPXE' || userClassInstances(value).includes('iPXE');
}

function userClassInstances(value: Buffer): readonly string[] {
  const instances: string[] = [];
  let at = 0;
  while (at < value.length) {
    const end = at + 1 + value.readUInt8(at);
    if (end > value.length) return [];
    instances.push(value.toString('latin1', at + 1, end));
    at = end;
  }
  return instances;
}

/** Encapsulated sub-options, as in 43 and 175. */
export function encapsulated(subOptions: readonly (readonly [code: number, value: number])[]): Buffer {
  return Buffer.from(subOptions.flatMap(([code, value]) => [code, 1, value]));
}

/** 119: DNS names in wire format, without compression. Undefined if the text is no domain name. */
export function domainSearch(name: string): Buffer | undefined {
  const labels = name.replace(/\.$/, '').split('.');
  if (name.length > 253 || labels.some((label) => !/^[A-Za-z0-9_-]{1,63}$/.test(label))) return undefined;
  return Buffer.concat([
    ...labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, 'latin1')]),
    Buffer.from([0]),
  ]);
}

export interface Route {
  /** `10.0.0.0/8` */
  readonly destination: string;
  readonly router: string;
}

/** 121: prefix length, the prefix's significant bytes, router. What is no IPv4 route is left out. */
export function classlessRoutes(routes: readonly Route[]): Buffer {
  return Buffer.from(
    routes.flatMap(({ destination, router }) => {
      const [network = '', prefix = ''] = destination.split('/');
      const bits = Number(prefix);
      if (!isIPv4(network) || !isIPv4(router) || !/^\d{1,2}$/.test(prefix) || bits > 32) return [];
      const significant = network
        .split('.')
        .map(Number)
        .slice(0, Math.ceil(bits / 8));
      return [bits, ...significant, ...router.split('.').map(Number)];
    }),
  );
}
