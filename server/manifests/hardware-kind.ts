import type { DiskHints } from '#proto/disk-hints.ts';
import type { NetworkSpec } from '#proto/network/network-spec.ts';

/**
 * Hardware, `tinkerbell.org/v1alpha1`: the record of a machine. Field names are Tinkerbell's; what we add is optional.
 * Only the fields that Tinsmith acts on are typed; the rest of a valid manifest is kept as it is (`metadata`, `resources`).
 */
export interface HardwareManifest {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: HardwareSpec;
}

export interface HardwareSpec {
  /** Identity the agent presents; default is the MAC of the first interface. */
  readonly agentID?: string;
  readonly interfaces: readonly HardwareInterface[];
  readonly disks: readonly HardwareDisk[];
  /** How the installed system is to be connected, where `interfaces` do not say enough (ours). */
  readonly network?: NetworkSpec;
  /** Served to the machine; free form (Tinkerbell's `metadata`). */
  readonly metadata?: JsonObject;
  readonly resources?: JsonObject;
  readonly references?: JsonObject;
  readonly bmcRef?: JsonObject;
  /** Secret. Held encrypted by the store and never returned by the API. */
  readonly userData?: string;
  readonly vendorData?: string;
  readonly [other: string]: unknown;
}

/** By its path, or by hints (ours, optional): `device` is then /dev/disk/by-hint/<index of the entry>. */
export interface HardwareDisk extends DiskHints {
  readonly device: string;
}

export interface HardwareInterface {
  readonly disableDhcp?: boolean;
  readonly netboot?: {
    readonly allowPXE?: boolean;
    readonly allowWorkflow?: boolean;
    readonly ipxe?: { readonly url?: string; readonly contents?: string; readonly binary?: string };
    readonly osie?: {
      readonly baseURL?: string;
      readonly kernel?: string;
      readonly initrd?: string;
      readonly kernelParams?: readonly string[];
    };
  };
  readonly dhcp?: HardwareDhcp;
}

export interface HardwareDhcp {
  /** Lower case, colons. */
  readonly mac: string;
  readonly hostname?: string;
  readonly domain_name?: string;
  /** Seconds. */
  readonly lease_time?: number;
  readonly name_servers?: readonly string[];
  readonly time_servers?: readonly string[];
  readonly arch?: string;
  readonly uefi?: boolean;
  readonly iface_name?: string;
  readonly ip?: {
    readonly address: string;
    readonly netmask: string;
    readonly gateway?: string;
    readonly family?: number;
  };
  readonly vlan_id?: string;
  readonly classless_static_routes?: readonly { readonly destination_descriptor: string; readonly router: string }[];
  readonly tftp_server_name?: string;
  readonly boot_file_name?: string;
}

export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue | undefined;
}
