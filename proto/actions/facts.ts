import type { DiskHints } from '../disk-hints.ts';
import type { NetworkSpec } from '../network/network-spec.ts';

/** What the server tells the agent about its own machine, so that actions need not ask the network. */
export interface HardwareFacts {
  readonly hardware: string;
  readonly interfaces: readonly InterfaceFacts[];
  /** How its installed system is to be connected, where the record says more than `interfaces`. */
  readonly network?: NetworkSpec;
  readonly library?: LibraryFacts;
  /** In the record's order: what `/dev/disk/by-hint/<index>` counts. A server that is older than this agent leaves it out. */
  readonly disks?: readonly DiskFacts[];
}

/** Where library images are, and who vouches for them. It comes over the authenticated connection to the server. */
export interface LibraryFacts {
  /** Ed25519, SPKI in PEM: signs every index. */
  readonly publicKey: string;
  /** URLs of folders that hold images as `NAME/` or `sha256-DIGEST/`; the first is the server's own, which alone knows names. */
  readonly mirrors: readonly string[];
  /** Whether agents that write the same image give frames to one another. A server that is older than this agent leaves it out. */
  readonly peers?: boolean;
  /** Authorities (PEM) that the site's own servers are known by, besides those that Node.js knows. */
  readonly authorities?: string;
}

export interface DiskFacts {
  readonly device: string;
  /** How to find the disk behind a device of /dev/disk/by-hint. */
  readonly hints?: DiskHints;
}

export interface InterfaceFacts {
  /** Lower case, colons. */
  readonly mac: string;
  /** In the installed system, if the record names it. */
  readonly name?: string;
  readonly hostname?: string;
  readonly address?: string;
  readonly netmask?: string;
  readonly gateway?: string;
  readonly nameServers: readonly string[];
  readonly vlanId?: string;
}
