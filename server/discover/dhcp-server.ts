import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import type { Store } from '../store/store.ts';
import type { Transitions } from '../store/transitions-contract.ts';
import { existingBootFiles } from './boot-files.ts';
import { type DhcpAnswer, type DhcpClient, type DhcpDestination, dhcpAnswer, reservedIp } from './dhcp-answer.ts';
import { BOOT_FILES, firmwareOf, loaderOf, machineKindOf } from './dhcp-boot.ts';
import { type LeasePool, openLeasePool, type Pool } from './dhcp-leases.ts';
import { addressOf, messageTypeOf, OPTION } from './dhcp-options.ts';
import { type DhcpPacket, decodeDhcpPacket, encodeDhcpPacket, MINIMUM_MAX_PACKET } from './dhcp-packet.ts';
import { isInNetwork } from './ipv4.ts';

export interface DhcpServerOptions {
  readonly store: Pick<Store, 'hardwareByMac' | 'hardwareByAddress' | 'listSettings' | 'putSetting' | 'deleteSetting'>;
  readonly transitions: Pick<Transitions, 'noteSeen'>;
  readonly log: Logger;
  readonly clock: () => Date;
  readonly mode: 'reservation' | 'proxy';
  /** IPv4 address of the interface that faces the machines; its netmask tells strangers' packets apart. */
  readonly address: string;
  readonly netmask: string;
  /** UDP port of DHCP, 67; 0 in tests. */
  readonly port: number;
  readonly httpPort: number;
  /** Addresses for unknown machines; absent: they get no answer. */
  readonly pool?: Omit<Pool, 'leaseSeconds'> & { readonly nameServers: readonly string[] };
  readonly leaseSeconds: number;
  readonly discovery: boolean;
  /** Folders that TFTP and /boot/ serve. */
  readonly bootFolders: readonly string[];
  /**
   * A UDP socket bound to the DHCP port that was opened with SO_BINDTODEVICE (systemd: `BindToDevice=`), which Node can't
   * set itself. Only then the kernel keeps other interfaces' broadcasts away; see `DhcpServer`.
   */
  readonly receiveFd?: number;
  /** Where broadcasts arrive; default 255.255.255.255. */
  readonly receiveAddress?: string;
  /** Where clients without an address are answered; default 255.255.255.255. */
  readonly broadcastAddress?: string;
  /** Default 68, 67 and 4011. */
  readonly clientPort?: number;
  readonly relayPort?: number;
  readonly bootServerPort?: number;
}

/** A running DHCP server. Disposing it closes its sockets after the packets at hand are done. */
export interface DhcpServer extends AsyncDisposable {
  readonly port: number;
  /** Port of the PXE boot server; proxy mode only. */
  readonly bootServerPort?: number;
}

/**
 * Opens the sockets and answers until disposed. Throws `unavailable` when a port is taken or the address isn't ours.
 *
 * One interface: Node has no SO_BINDTODEVICE. Replies leave by a socket bound to the interface's address, which Linux sends
 * out of that interface even for 255.255.255.255. Broadcasts are received from all interfaces, though. A packet from an
 * address outside our network that no relay forwarded is dropped; a machine on another wire that has no address yet cannot
 * be told apart, but our reply never reaches it. With `receiveFd` it is exact.
 */
export async function startDhcpServer(options: DhcpServerOptions): Promise<DhcpServer> {
  const { pool, leaseSeconds, store, log, clock, address } = options;
  const leases =
    pool === undefined || options.mode === 'proxy'
      ? undefined
      : await openLeasePool({ pool: { ...pool, leaseSeconds }, store, log, clock, reserved: [address] });
  const server = new SocketDhcpServer(options, leases);
  await server.open();
  return server;
}

interface Arrival {
  readonly from: RemoteInfo;
  readonly socket: Socket;
  readonly isBootServerPort: boolean;
}

const LIMITED_BROADCAST = '255.255.255.255';
const BOOT_SERVER_PORT = 4011;
/** More packets at once than any boot storm of one rack; beyond it packets are dropped, and clients ask again. */
const MAX_IN_FLIGHT = 512;
const MAX_UDP_PAYLOAD = 1472;
/** IP and UDP header: option 57 counts them by some clients' reading, so we leave them out. */
const HEADERS = 28;
/** One boot asks several times (ROM, iPXE, kernel): it is noted once. */
const SEEN_AGAIN_MS = 60_000;

class SocketDhcpServer implements DhcpServer {
  readonly #options: DhcpServerOptions;
  readonly #leases: LeasePool | undefined;
  readonly #sockets: Socket[] = [];
  readonly #inFlight = new Set<Promise<void>>();
  readonly #seenAt = new Map<string, number>();
  readonly #missingFiles = new Set<string>();
  port = 0;
  bootServerPort?: number;

  constructor(options: DhcpServerOptions, leases: LeasePool | undefined) {
    this.#options = options;
    this.#leases = leases;
  }

  async open(): Promise<void> {
    const { address, port, receiveFd, receiveAddress = LIMITED_BROADCAST, mode } = this.#options;
    try {
      const unicast = await this.#bind({ address, port });
      this.port = unicast.port;
      this.#listen(unicast.socket, unicast.socket, false);
      const broadcast = await this.#bind(
        receiveFd === undefined ? { address: receiveAddress, port: this.port } : { fd: receiveFd },
      );
      this.#listen(broadcast.socket, unicast.socket, false);
      if (mode !== 'proxy') return;
      const bootServer = await this.#bind({ address, port: this.#options.bootServerPort ?? BOOT_SERVER_PORT });
      this.bootServerPort = bootServer.port;
      this.#listen(bootServer.socket, bootServer.socket, true);
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.removeAllListeners('message');
    await Promise.all(this.#inFlight);
    for (const socket of this.#sockets.splice(0)) {
      const closed = once(socket, 'close');
      socket.close();
      await closed;
    }
  }

  async #bind(
    where: { readonly address: string; readonly port: number } | { readonly fd: number },
  ): Promise<{ readonly socket: Socket; readonly port: number }> {
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    try {
      const listening = once(socket, 'listening');
      socket.bind({ ...where, exclusive: true });
      await listening;
    } catch (error) {
      socket.close();
      const place = 'fd' in where ? `inherited socket ${where.fd}` : `${where.address}:${where.port}`;
      throw new TinsmithError(
        'unavailable',
        `cannot listen for DHCP on ${place}: ${TinsmithError.from(error).message}; stop what uses the port, or set dhcp.mode=off`,
        { cause: error },
      );
    }
    this.#sockets.push(socket);
    socket.setBroadcast(true);
    const { port }: AddressInfo = socket.address();
    return { socket, port };
  }

  #listen(socket: Socket, answerBy: Socket, isBootServerPort: boolean): void {
    socket.on('error', (error) => this.#options.log.warn({ err: error }, 'dhcp.socketError'));
    socket.on('message', (bytes, from) => {
      if (this.#inFlight.size >= MAX_IN_FLIGHT) return;
      const work = this.#handle(bytes, { from, socket: answerBy, isBootServerPort })
        .catch((error: unknown) => this.#options.log.warn({ err: error, from: from.address }, 'dhcp.failed'))
        .finally(() => this.#inFlight.delete(work));
      this.#inFlight.add(work);
    });
  }

  /** Clients repeat their packets: each is decided anew from the records, with the same outcome. */
  async #handle(bytes: Buffer, arrival: Arrival): Promise<void> {
    const packet = this.#decode(bytes, arrival.from);
    if (packet === undefined || this.#isFromAnotherNetwork(packet, arrival.from)) return;
    const client = await this.#lookUp(packet);
    await this.#noteEndOfLease(packet);
    const { mode, leaseSeconds, discovery, address, httpPort, pool } = this.#options;
    const files = await this.#bootFiles(packet, client);
    const answer = dhcpAnswer({
      packet,
      client,
      isBootServerPort: arrival.isBootServerPort,
      settings: {
        mode,
        leaseSeconds,
        discovery,
        source: { address, httpPort, files },
        ...(pool === undefined ? {} : { pool }),
      },
    });
    if (answer.kind === 'silence') {
      this.#options.log.debug({ mac: packet.mac, reason: answer.reason }, 'dhcp.silent');
      return;
    }
    await this.#keepLease(packet, client, answer);
    this.#send(answer, packet, arrival);
    if (client.kind === 'known') await this.#noteSeen(client.hardware.name, packet, arrival.from.address);
  }

  #decode(bytes: Buffer, from: RemoteInfo): DhcpPacket | undefined {
    try {
      return decodeDhcpPacket(bytes);
    } catch (error) {
      this.#options.log.debug({ err: error, from: from.address }, 'dhcp.unreadable');
      return undefined;
    }
  }

  #isFromAnotherNetwork(packet: DhcpPacket, from: RemoteInfo): boolean {
    if (packet.giaddr !== '0.0.0.0' || from.address === '0.0.0.0') return false;
    return !isInNetwork(from.address, this.#options);
  }

  async #lookUp(packet: DhcpPacket): Promise<DhcpClient> {
    const { mac } = packet;
    const hardware = await this.#options.store.hardwareByMac(mac);
    const iface = hardware?.spec.interfaces.find((candidate) => candidate.dhcp?.mac === mac);
    if (hardware === undefined || iface === undefined) {
      return { kind: 'unknown', ...(await this.#poolAddress(packet)) };
    }
    const needsPool = reservedIp(iface.dhcp) === undefined && iface.disableDhcp !== true;
    return { kind: 'known', hardware, iface, ...(needsPool ? await this.#poolAddress(packet) : {}) };
  }

  /** A DISCOVER to us is offered an address; everything else only speaks of the one that the machine holds. */
  async #poolAddress(packet: DhcpPacket): Promise<Pick<DhcpClient, 'poolAddress' | 'lostAddress'>> {
    if (this.#leases === undefined || packet.op !== 'request' || this.#isBeyondPool(packet)) return {};
    if (messageTypeOf(packet.options) === 'discover') {
      const offered = await this.#leases.offer(packet.mac, addressOf(packet.options, OPTION.requestedAddress));
      return offered === undefined ? {} : { poolAddress: offered };
    }
    const address = this.#leases.held(packet.mac);
    if (address === undefined) return {};
    const owner = await this.#options.store.hardwareByAddress(address);
    if (owner === undefined || owner.name === (await this.#options.store.hardwareByMac(packet.mac))?.name) {
      return { poolAddress: address };
    }
    // Reserved since it was leased: two machines must not use it.
    await this.#leases.release(packet.mac, address);
    return { lostAddress: address };
  }

  /** RFC 2131 §4.3.1: a relay's address says which network its client is on; there the pool's addresses are of no use. */
  #isBeyondPool({ giaddr }: DhcpPacket): boolean {
    const { pool } = this.#options;
    if (pool === undefined || giaddr === '0.0.0.0') return false;
    return !isInNetwork(giaddr, { address: pool.first, netmask: pool.netmask });
  }

  async #noteEndOfLease(packet: DhcpPacket): Promise<void> {
    const type = messageTypeOf(packet.options);
    const isForUs = addressOf(packet.options, OPTION.serverId) === this.#options.address;
    if (!isForUs || packet.op !== 'request') return;
    if (type === 'release') await this.#leases?.release(packet.mac, packet.ciaddr);
    if (type !== 'decline') return;
    const address = addressOf(packet.options, OPTION.requestedAddress);
    this.#options.log.warn({ mac: packet.mac, address }, 'dhcp.declined');
    if (address !== undefined) await this.#leases?.decline(packet.mac, address);
  }

  /** Before the ACK leaves: a lease that the machine knows of is known after a restart, too. */
  async #keepLease(packet: DhcpPacket, client: DhcpClient, answer: DhcpAnswer & { kind: 'reply' }): Promise<void> {
    const address = client.poolAddress;
    if (answer.type !== 'ack' || address === undefined || answer.packet.yiaddr !== address) return;
    await this.#leases?.bind(packet.mac, address, machineKindOf(packet.options));
  }

  async #bootFiles(packet: DhcpPacket, client: DhcpClient): Promise<ReadonlySet<string>> {
    if (firmwareOf(packet.options) === undefined) return new Set();
    const wanted = loaderOf(packet.options, client.kind === 'known' ? client.iface : undefined);
    const names = wanted === undefined ? BOOT_FILES : [...new Set([...BOOT_FILES, wanted])];
    const files = await existingBootFiles(this.#options.bootFolders, names);
    if (wanted !== undefined && !files.has(wanted) && !this.#missingFiles.has(wanted)) {
      this.#missingFiles.add(wanted);
      this.#options.log.warn({ mac: packet.mac, file: wanted, folders: this.#options.bootFolders }, 'dhcp.noBootFile');
    }
    return files;
  }

  #send(answer: DhcpAnswer & { kind: 'reply' }, question: DhcpPacket, arrival: Arrival): void {
    const bytes = encodeDhcpPacket(answer.packet, maxBytesOf(question));
    const { address, port } = this.#addressOf(answer.destination, arrival.from);
    const facts = { mac: question.mac, address: answer.packet.yiaddr, file: answer.packet.file, to: address };
    arrival.socket.send(bytes, port, address, (error) => {
      if (error instanceof Error) this.#options.log.warn({ ...facts, err: error }, 'dhcp.notSent');
    });
    if (answer.type === 'ack') this.#options.log.info(facts, 'dhcp.acknowledged');
    else if (answer.type === 'nak') this.#options.log.warn(facts, 'dhcp.refused');
    else this.#options.log.debug(facts, 'dhcp.offered');
  }

  #addressOf(destination: DhcpDestination, from: RemoteInfo): { readonly address: string; readonly port: number } {
    const { clientPort = 68, relayPort = 67, broadcastAddress = LIMITED_BROADCAST } = this.#options;
    if (destination.kind === 'sender') return { address: from.address, port: from.port };
    if (destination.kind === 'relay') return { address: destination.address, port: relayPort };
    if (destination.kind === 'client') return { address: destination.address, port: clientPort };
    return { address: broadcastAddress, port: clientPort };
  }

  async #noteSeen(hardware: string, packet: DhcpPacket, from: string): Promise<void> {
    if (firmwareOf(packet.options) === undefined) return;
    const now = this.#options.clock().getTime();
    if (now - (this.#seenAt.get(hardware) ?? -SEEN_AGAIN_MS) < SEEN_AGAIN_MS) return;
    this.#seenAt.set(hardware, now);
    await this.#options.transitions.noteSeen(hardware, { actor: 'machine', from });
  }
}

function maxBytesOf(packet: DhcpPacket): number {
  const value = packet.options.get(OPTION.maxMessageSize);
  const asked = value?.length === 2 ? value.readUInt16BE(0) - HEADERS : 0;
  return Math.min(Math.max(asked, MINIMUM_MAX_PACKET), MAX_UDP_PAYLOAD);
}
