/** IPv4 as dotted numbers, also when the socket speaks IPv6. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '');
}
