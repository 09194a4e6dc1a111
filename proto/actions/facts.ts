/** What the server tells the agent about its own machine, so that actions need not ask the network. */
export interface HardwareFacts {
  readonly hardware: string;
  readonly interfaces: readonly InterfaceFacts[];
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
