/** What the server tells the agent about its own machine, so that actions need not ask the network. */
export interface HardwareFacts {
  readonly hardware: string;
  readonly interfaces: readonly InterfaceFacts[];
  readonly library?: LibraryFacts;
}

/** Where library images are, and who vouches for them. It comes over the authenticated connection to the server. */
export interface LibraryFacts {
  /** Ed25519, SPKI in PEM: signs every index. */
  readonly publicKey: string;
  /** URLs of folders that hold images as `NAME/` or `sha256-DIGEST/`; the first is the server's own, which alone knows names. */
  readonly mirrors: readonly string[];
}

export interface InterfaceFacts {
  /** Lower case, colons. */
  readonly mac: string;
  readonly hostname?: string;
  readonly address?: string;
  readonly netmask?: string;
  readonly gateway?: string;
  readonly nameServers: readonly string[];
  readonly vlanId?: string;
}
