/**
 * Names on the kernel command line of the boot environment. The server's iPXE script writes them, the initramfs' init and
 * the agent read them. People who bake the agent into their own initramfs pass the same names.
 */
export const BOOT_PARAMETERS = {
  /** `host:port` of the agents' gRPC listener. */
  server: 'tinsmith.server',
  /** Base URL of the machine-facing HTTP listener: `http://host:port`. */
  http: 'tinsmith.http',
  /** Single-use boot token (base64url). */
  token: 'tinsmith.token',
  /** SHA-256 (lower-case hex) of the DER of the server's CA certificate, which is served at `<http>/ca.der`. */
  ca: 'tinsmith.ca',
  /** MAC of the interface that booted: lower case, colons. */
  mac: 'tinsmith.mac',
  /** `address/netmask/gateway/dns` as the boot loader got them; gateway and dns may be empty. Absent: the init asks DHCP. */
  ip: 'tinsmith.ip',
  /** Seconds without a reachable server after which the machine restarts; default 600. */
  giveUp: 'tinsmith.giveup',
  /** `1`: a console with a root shell on failure. Off by default. */
  shell: 'tinsmith.shell',
  /** 802.1Q id to put on the boot interface (Tinkerbell's name). */
  vlan: 'vlan_id',
} as const;

/** Parses `/proc/cmdline`: space separated, `key=value` or `key`; the last value of a key wins. Quotes (") group. */
export function parseKernelCommandLine(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  for (const [word] of text.trim().matchAll(/(?:[^\s"]|"[^"]*")+/g)) {
    const plain = word.replaceAll('"', '');
    const equals = plain.indexOf('=');
    if (equals === -1) parameters.set(plain, '');
    else parameters.set(plain.slice(0, equals), plain.slice(equals + 1));
  }
  return parameters;
}
