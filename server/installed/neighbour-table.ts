import { readFile } from 'node:fs/promises';

// /proc/net/arp: a line of titles, then for each neighbour its address, hardware type, flags, MAC, mask and device, in columns.
// Flags hold 2 (ATF_COM of if_arp.h) once the neighbour has answered; until then the MAC is zeros.

const COMPLETE = 0x2;

/** MAC of an IPv4 neighbour on a device, lower case; undefined while the kernel knows none. */
export function neighbourMac(table: string, address: string, device: string): string | undefined {
  for (const line of table.split('\n').slice(1)) {
    const [ip, , flags = '', mac, , name] = line.trim().split(/\s+/);
    if (ip === address && name === device && (Number(flags) & COMPLETE) !== 0) return mac?.toLowerCase();
  }
  return undefined;
}

/** The kernel's table; empty where there is none (another system than Linux). */
export async function readNeighbourTable(): Promise<string> {
  try {
    return await readFile('/proc/net/arp', 'utf8');
  } catch {
    return '';
  }
}
