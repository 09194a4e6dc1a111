import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import type { AddressProbe } from './plan-input.ts';

interface ProbeOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs?: number;
  /** Where the kernel tells which neighbours it knows. */
  readonly neighbourFile?: string;
  readonly port?: number;
}

/** EKS Anywhere dials this port and waits this long. */
const PORT = 80;
const TIMEOUT_MS = 500;
/** A plan of hundreds of machines must not open hundreds of sockets at once. */
const AT_ONCE = 32;
/** Linux, include/uapi/linux/if_arp.h: the entry has a MAC. */
const ATF_COM = 0x2;

/**
 * Who has these IPv4 addresses: whoever accepts, refuses or resets a connection, and whoever has answered ARP (a machine that
 * drops everything still does that). Takes half a second for 32 silent addresses. An address that nobody answers for is free as
 * far as can be told from here.
 */
export async function probeAddresses(
  addresses: readonly string[],
  options: ProbeOptions,
): Promise<ReadonlyMap<string, AddressProbe>> {
  const dialled = new Map<string, string | undefined>();
  for (let first = 0; first < addresses.length; first += AT_ONCE) {
    options.signal.throwIfAborted();
    const some = addresses.slice(first, first + AT_ONCE);
    const answers = await Promise.all(some.map((address) => dial(address, options)));
    for (const [index, address] of some.entries()) dialled.set(address, answers[index]);
  }
  const neighbours = await readNeighbours(options.neighbourFile ?? '/proc/net/arp');
  return new Map(
    addresses.map((address) => {
      const mac = neighbours.get(address);
      const detail = dialled.get(address) ?? (mac === undefined ? undefined : 'is in the neighbour table');
      const isTaken = detail !== undefined;
      return [address, { isTaken, ...(mac === undefined ? {} : { mac }), ...(detail === undefined ? {} : { detail }) }];
    }),
  );
}

/** How the address answers; undefined: not at all. */
async function dial(
  address: string,
  { signal, timeoutMs = TIMEOUT_MS, port = PORT }: ProbeOptions,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const timer = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    const end = (answer: string | undefined): void => {
      timer.removeEventListener('abort', silent);
      socket.destroy();
      resolve(answer);
    };
    const silent = (): void => end(undefined);
    timer.addEventListener('abort', silent, { once: true });
    socket.once('connect', () => end(`answers on port ${port}`));
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const { code } = error;
      end(code === 'ECONNREFUSED' || code === 'ECONNRESET' ? `refuses port ${port}` : undefined);
    });
  });
}

/** MAC of every neighbour that answered ARP, as `/proc/net/arp` shows it. */
async function readNeighbours(file: string): Promise<ReadonlyMap<string, string>> {
  const text = await readFile(file, 'utf8').catch(() => ''); // not on Linux, or hidden: only dialling tells then
  const rows = text.split('\n').slice(1);
  return new Map(
    rows.flatMap((row) => {
      const [address = '', , flags = '0', mac = ''] = row.trim().split(/\s+/);
      const isKnown = (Number(flags) & ATF_COM) !== 0 && mac !== '00:00:00:00:00:00';
      return isKnown ? [[address, mac.toLowerCase()] as const] : [];
    }),
  );
}
