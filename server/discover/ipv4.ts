/** IPv4 arithmetic on unsigned 32-bit numbers. Callers pass text that is known to be an address. */
export function addressNumber(address: string): number {
  return Buffer.from(address.split('.').map(Number)).readUInt32BE(0);
}

export function addressText(number: number): string {
  return [number >>> 24, (number >>> 16) & 255, (number >>> 8) & 255, number & 255].join('.');
}

export function broadcastOf(address: string, netmask: string): string {
  const mask = addressNumber(netmask);
  return addressText(((addressNumber(address) & mask) | ~mask) >>> 0);
}

export function isInNetwork(address: string, network: { readonly address: string; readonly netmask: string }): boolean {
  const mask = addressNumber(network.netmask);
  return (addressNumber(address) & mask) >>> 0 === (addressNumber(network.address) & mask) >>> 0;
}
