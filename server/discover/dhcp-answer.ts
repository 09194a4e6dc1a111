import type { HardwareDhcp, HardwareInterface } from '../manifests/hardware-kind.ts';
import type { Hardware } from '../store/store.ts';
import {
  type BootDecision,
  type BootPermission,
  type BootSource,
  bootDecision,
  bootPermissionOf,
  firmwareOf,
} from './dhcp-boot.ts';
import {
  addresses,
  addressOf,
  classlessRoutes,
  domainSearch,
  type MessageType,
  messageType,
  messageTypeOf,
  OPTION,
  seconds,
} from './dhcp-options.ts';
import type { DhcpPacket } from './dhcp-packet.ts';
import { broadcastOf } from './ipv4.ts';

/** Who the store says the sender is. */
export type DhcpClient =
  | {
      readonly kind: 'known';
      readonly hardware: Pick<Hardware, 'name' | 'netboot' | 'stage'>;
      readonly iface: HardwareInterface;
      readonly poolAddress?: string;
      readonly lostAddress?: string;
    }
  /** `lostAddress`: it had a lease of ours for this address, which belongs to another Hardware now. */
  | { readonly kind: 'unknown'; readonly poolAddress?: string; readonly lostAddress?: string };

export interface DhcpSettings {
  readonly mode: 'reservation' | 'proxy';
  readonly source: BootSource;
  /** What pool addresses come with. */
  readonly pool?: { readonly netmask: string; readonly gateway?: string; readonly nameServers: readonly string[] };
  /** Where Hardware names no lease time. */
  readonly leaseSeconds: number;
  /** Whether unknown machines are booted. */
  readonly discovery: boolean;
}

export interface DhcpQuestion {
  readonly packet: DhcpPacket;
  readonly client: DhcpClient;
  readonly settings: DhcpSettings;
  /** Arrived at the PXE boot server port (4011) instead of the DHCP port; proxy mode only. */
  readonly isBootServerPort: boolean;
}

export type DhcpAnswer =
  | {
      readonly kind: 'reply';
      readonly type: 'offer' | 'ack' | 'nak';
      readonly packet: DhcpPacket;
      readonly destination: DhcpDestination;
    }
  | { readonly kind: 'silence'; readonly reason: string };

/** `client`: unicast to ciaddr. `sender`: back to where the packet came from. */
export type DhcpDestination =
  | { readonly kind: 'broadcast' }
  | { readonly kind: 'client'; readonly address: string }
  | { readonly kind: 'relay'; readonly address: string }
  | { readonly kind: 'sender' };

const NONE = '0.0.0.0';
const INFINITE_LEASE = 0xffffffff;
const BROADCAST_FLAG = 0x8000;
/** RFC 2131 table 3, RFC 3046 §2.2, RFC 4578 §2.4: what a server sends back as it came. */
const ECHOED: readonly number[] = [OPTION.clientId, OPTION.clientMachineId, OPTION.relayAgent];

/**
 * Decides what a DHCP packet is answered with: RFC 2131 §4.3 for reservations and pool addresses, PXE 2.1 and RFC 4578 for
 * booting. Pure; the caller looks the sender up before and keeps the lease of an `ack` before it sends it.
 */
export function dhcpAnswer(question: DhcpQuestion): DhcpAnswer {
  const type = messageTypeOf(question.packet.options);
  if (type === undefined) return silence('it has no known message type (BOOTP?)');
  const reason = reasonForSilence(question);
  if (reason !== undefined) return silence(reason);
  if (question.settings.mode === 'proxy') return answerProxy(question, type);
  const address = addressFor(question.client);
  if (address === undefined) return answerWithoutAddress(question, type);
  if (type === 'discover') return reply(question, 'offer', address);
  if (type === 'request') return answerRequest(question, address);
  if (type === 'inform') return answerInform(question);
  return silence(`a ${type} has no answer`);
}

function reasonForSilence({ packet, client, settings }: DhcpQuestion): string | undefined {
  if (packet.op !== 'request') return 'it is a reply, not a request';
  if (client.kind === 'known' && client.iface.disableDhcp === true) return 'disableDhcp is set for its interface';
  const serverId = addressOf(packet.options, OPTION.serverId);
  if (serverId === undefined || serverId === settings.source.address) return undefined;
  return `it speaks to another server, ${serverId}`;
}

/** The address that a client gets: its Hardware's IPv4 address, or one of the pool. */
export function addressFor(client: DhcpClient): string | undefined {
  const reserved = client.kind === 'known' ? reservedIp(client.iface.dhcp)?.address : undefined;
  return reserved ?? client.poolAddress;
}

/** The IPv4 reservation of an interface. */
export function reservedIp(dhcp: HardwareDhcp | undefined): HardwareDhcp['ip'] {
  return dhcp?.ip !== undefined && dhcp.ip.family !== 6 ? dhcp.ip : undefined;
}

/** We judge only an address that we leased ourselves: it must not be used any longer. */
function answerWithoutAddress(question: DhcpQuestion, type: MessageType): DhcpAnswer {
  const { packet, client } = question;
  const isLost = client.lostAddress !== undefined && askedAddress(packet) === client.lostAddress;
  return type === 'request' && isLost
    ? nak(question)
    : silence('no address is reserved for it and the pool gives none');
}

function askedAddress(packet: DhcpPacket): string {
  return addressOf(packet.options, OPTION.requestedAddress) ?? packet.ciaddr;
}

/** RFC 2131 §4.3.2. A machine that asks for another address than the record's is told so (NAK) and begins again. */
function answerRequest(question: DhcpQuestion, address: string): DhcpAnswer {
  const { packet } = question;
  const asked = askedAddress(packet);
  if (asked === NONE) return silence('it requests no address');
  if (asked === address) return reply(question, 'ack', address);
  // Without a record we are not the one to judge: another server on this wire may have leased it (§4.3.2, INIT-REBOOT).
  if (question.client.kind === 'unknown' && !packet.options.has(OPTION.serverId))
    return silence(`we know nothing of ${asked}`);
  return nak(question);
}

function nak(question: DhcpQuestion): DhcpAnswer {
  const destination = nakDestination(question.packet);
  return { kind: 'reply', type: 'nak', packet: nakPacket(question), destination };
}

/** Parameters for a machine that has its address already: no lease (RFC 2131 §4.3.5). */
function answerInform(question: DhcpQuestion): DhcpAnswer {
  if (question.packet.ciaddr === NONE) return silence('it asks for parameters but has no address');
  return reply(question, 'ack', NONE);
}

/**
 * Boot information only, beside the DHCP server that gives the address: an OFFER without address to a DISCOVER, an ACK to
 * what is sent to port 4011. Requests on port 67 belong to the other server.
 */
function answerProxy(question: DhcpQuestion, type: MessageType): DhcpAnswer {
  const { packet, isBootServerPort } = question;
  if (firmwareOf(packet.options) === undefined) return silence('it does not boot from the network');
  if (isBootServerPort ? type !== 'request' && type !== 'inform' : type !== 'discover') {
    return silence(`a ${type} is not for a proxy on this port`);
  }
  const boot = bootFor(question);
  if (boot === undefined) return silence('it may not boot from the network, or there is no boot file for it');
  const options = new Map([
    [OPTION.messageType, messageType(isBootServerPort ? 'ack' : 'offer')],
    [OPTION.serverId, addresses([question.settings.source.address])],
    ...boot.options,
    ...echoed(packet),
  ]);
  return {
    kind: 'reply',
    type: isBootServerPort ? 'ack' : 'offer',
    packet: replyPacket(packet, { yiaddr: NONE, boot, options }),
    destination: isBootServerPort ? { kind: 'sender' } : destinationOf(packet),
  };
}

/** `yiaddr` NONE: the answer to an INFORM. */
function reply(question: DhcpQuestion, type: 'offer' | 'ack', yiaddr: string): DhcpAnswer {
  const { packet, settings } = question;
  const boot = bootFor(question);
  const options = new Map([
    [OPTION.messageType, messageType(type)],
    [OPTION.serverId, addresses([settings.source.address])],
    ...(yiaddr === NONE ? [] : leaseTimes(question)),
    ...networkOptions(question),
    ...(boot?.options ?? []),
    ...hostOptions(question),
    ...echoed(packet),
  ]);
  return {
    kind: 'reply',
    type,
    packet: replyPacket(packet, { yiaddr, boot, options }),
    destination: destinationOf(packet),
  };
}

function bootFor({ packet, client, settings }: DhcpQuestion): BootDecision | undefined {
  return bootDecision({
    mac: packet.mac,
    options: packet.options,
    permission: permissionOf(client, settings),
    source: settings.source,
    ...(client.kind === 'known' ? { iface: client.iface } : {}),
  });
}

function permissionOf(client: DhcpClient, settings: DhcpSettings): BootPermission {
  if (client.kind === 'unknown') return settings.discovery ? 'netboot' : 'none';
  if (client.hardware.stage === 'retired') return 'none';
  return bootPermissionOf(client.hardware.netboot, client.iface.netboot);
}

type OptionEntries = readonly (readonly [number, Buffer])[];

function leaseTimes({ client, settings }: DhcpQuestion): OptionEntries {
  const wanted = client.kind === 'known' ? (client.iface.dhcp?.lease_time ?? 0) : 0;
  const lease = Math.min(wanted > 0 ? Math.floor(wanted) : settings.leaseSeconds, INFINITE_LEASE);
  if (lease === INFINITE_LEASE) return [[OPTION.leaseTime, seconds(lease)]];
  return [
    [OPTION.leaseTime, seconds(lease)],
    [OPTION.renewalTime, seconds(Math.floor(lease / 2))],
    [OPTION.rebindingTime, seconds(Math.floor((lease * 7) / 8))],
  ];
}

function networkOptions(question: DhcpQuestion): OptionEntries {
  const { netmask, gateway, nameServers } = networkOf(question);
  const address = addressFor(question.client);
  const dhcp = question.client.kind === 'known' ? question.client.iface.dhcp : undefined;
  return present([
    [OPTION.subnetMask, addresses([netmask])],
    [OPTION.router, addresses([gateway])],
    [OPTION.nameServers, addresses(nameServers)],
    [OPTION.broadcast, addresses(address === undefined || netmask === '' ? [] : [broadcastOf(address, netmask)])],
    [OPTION.classlessRoutes, routesOf(dhcp, gateway)],
  ]);
}

/** Of the reservation, else of the pool; what there is none of is empty. */
function networkOf({ client, settings }: DhcpQuestion): Network {
  const dhcp = client.kind === 'known' ? client.iface.dhcp : undefined;
  const ip = reservedIp(dhcp);
  if (ip !== undefined) {
    return { netmask: ip.netmask, gateway: ip.gateway ?? '', nameServers: dhcp?.name_servers ?? [] };
  }
  const { netmask = '', gateway = '', nameServers = [] } = settings.pool ?? {};
  return { netmask, gateway, nameServers: dhcp?.name_servers ?? nameServers };
}

interface Network {
  readonly netmask: string;
  readonly gateway: string;
  readonly nameServers: readonly string[];
}

/** RFC 3442: a client that gets 121 ignores 3, so the default route is repeated in it. */
function routesOf(dhcp: HardwareDhcp | undefined, gateway: string): Buffer {
  const routes = (dhcp?.classless_static_routes ?? []).map((route) => ({
    destination: route.destination_descriptor,
    router: route.router,
  }));
  if (routes.length === 0) return Buffer.alloc(0);
  const hasDefault = routes.some((route) => route.destination === '0.0.0.0/0');
  if (gateway !== '' && !hasDefault) routes.push({ destination: '0.0.0.0/0', router: gateway });
  return classlessRoutes(routes);
}

function hostOptions({ client }: DhcpQuestion): OptionEntries {
  const dhcp = client.kind === 'known' ? client.iface.dhcp : undefined;
  const domain = dhcp?.domain_name ?? '';
  return present([
    [OPTION.hostname, Buffer.from(dhcp?.hostname ?? '', 'latin1')],
    [OPTION.domainName, Buffer.from(domain, 'latin1')],
    [OPTION.timeServers, addresses(dhcp?.time_servers ?? [])],
    [OPTION.domainSearch, domainSearch(domain) ?? Buffer.alloc(0)],
  ]);
}

function present(entries: OptionEntries): OptionEntries {
  return entries.filter(([, value]) => value.length > 0);
}

function echoed(packet: DhcpPacket): OptionEntries {
  return ECHOED.flatMap((code) => {
    const value = packet.options.get(code);
    return value === undefined ? [] : [[code, value] as const];
  });
}

function replyPacket(
  packet: DhcpPacket,
  answer: { readonly yiaddr: string; readonly boot: BootDecision | undefined; readonly options: DhcpPacket['options'] },
): DhcpPacket {
  return {
    op: 'reply',
    hops: 0,
    xid: packet.xid,
    secs: 0,
    flags: packet.flags,
    ciaddr: messageTypeOf(answer.options) === 'ack' ? packet.ciaddr : NONE,
    yiaddr: answer.yiaddr,
    siaddr: answer.boot?.siaddr ?? NONE,
    giaddr: packet.giaddr,
    mac: packet.mac,
    sname: '',
    file: answer.boot?.file ?? '',
    options: answer.options,
  };
}

function nakPacket({ packet, settings }: DhcpQuestion): DhcpPacket {
  const options = new Map([
    [OPTION.messageType, messageType('nak')],
    [OPTION.serverId, addresses([settings.source.address])],
    ...echoed(packet),
  ]);
  // RFC 2131 §4.3.2: through a relay, the broadcast bit makes the relay broadcast the NAK.
  const flags = packet.giaddr === NONE ? packet.flags : packet.flags | BROADCAST_FLAG;
  return { ...replyPacket(packet, { yiaddr: NONE, boot: undefined, options }), flags, ciaddr: NONE };
}

/**
 * RFC 2131 §4.1. A client without an address is always answered by broadcast: unicast to an address that it doesn't have
 * yet needs raw sockets, and every client takes the broadcast, also those that ask for unicast.
 */
function destinationOf(packet: DhcpPacket): DhcpDestination {
  if (packet.giaddr !== NONE) return { kind: 'relay', address: packet.giaddr };
  return packet.ciaddr === NONE ? { kind: 'broadcast' } : { kind: 'client', address: packet.ciaddr };
}

function nakDestination(packet: DhcpPacket): DhcpDestination {
  return packet.giaddr === NONE ? { kind: 'broadcast' } : { kind: 'relay', address: packet.giaddr };
}

function silence(reason: string): DhcpAnswer {
  return { kind: 'silence', reason };
}
