import { isIPv4 } from 'node:net';
import type { HardwareInterface } from '../manifests/hardware-kind.ts';
import { architecturesOf, encapsulated, isIpxe, OPTION, type OptionMap, vendorClassOf } from './dhcp-options.ts';

/** Where a machine fetches its boot files from. */
export interface BootSource {
  /** The address that machines reach this server at: TFTP and HTTP. */
  readonly address: string;
  readonly httpPort: number;
  /** Names that TFTP and /boot/ serve, of those in `BOOT_FILES`. */
  readonly files: ReadonlySet<string>;
}

export interface BootDecision {
  readonly siaddr: string;
  /** At most 128 bytes; empty when option 67 alone carries it. */
  readonly file: string;
  /** In order of importance. */
  readonly options: OptionMap;
}

/** What the machine may boot: from the network, its own disk (its installation is finished), or nothing that we decide. */
export type BootPermission = 'netboot' | 'disk' | 'none';

export type Firmware = 'pxe' | 'http' | 'ipxe';

/** Chainloads the disk's own boot loader in UEFI, where leaving a PXE boot file costs a minute of retries. Optional. */
const LOCAL_BOOT_FILE = 'localboot.efi';

/**
 * Boot file by architecture (IANA "Processor Architecture Types"). 6 (32-bit UEFI) and 10/18 (32-bit ARM) have no iPXE
 * build that anybody packs, so they are given an address only. Some x64 firmware calls itself 15 (x86) in HTTP boot.
 */
const FILE_OF_ARCHITECTURE: Readonly<Record<number, string>> = {
  0: 'undionly.kpxe',
  7: 'snponly.efi',
  9: 'snponly.efi',
  11: 'snp-arm64.efi',
  15: 'snponly.efi',
  16: 'snponly.efi',
  19: 'snp-arm64.efi',
  20: 'undionly.kpxe',
};
const BIOS_ARCHITECTURES: readonly number[] = [0, 20];

/** Every file that a boot decision may name by itself. */
export const BOOT_FILES: readonly string[] = [...new Set(Object.values(FILE_OF_ARCHITECTURE)), LOCAL_BOOT_FILE];

/** Sub-option 6 of 43 with bit 3: boot the file of this packet, look for no other boot server (PXE 2.1 §2.2.3). */
const PXE_NO_DISCOVERY = Buffer.concat([encapsulated([[6, 8]]), Buffer.from([OPTION.end])]);
/** Sub-option 176 of 175: iPXE doesn't wait three seconds for a ProxyDHCP server. */
const IPXE_NO_PROXY_DHCP = encapsulated([[176, 1]]);
const FILE_FIELD_BYTES = 128;

/** What kind of boot client sent these options; undefined: none, an operating system that wants an address. */
export function firmwareOf(options: OptionMap): Firmware | undefined {
  if (isIpxe(options)) return 'ipxe';
  const vendor = vendorClassOf(options);
  if (vendor.startsWith('HTTPClient')) return 'http';
  return vendor.startsWith('PXEClient') ? 'pxe' : undefined;
}

/** Tinkerbell's name of the architecture, and whether it is UEFI; nothing if the client doesn't say. */
export function machineKindOf(options: OptionMap): { readonly arch?: string; readonly uefi?: boolean } {
  const architecture = architecturesOf(options).find((number) => FILE_OF_ARCHITECTURE[number] !== undefined);
  if (architecture === undefined) return {};
  const isArm = FILE_OF_ARCHITECTURE[architecture] === 'snp-arm64.efi';
  return { arch: isArm ? 'aarch64' : 'x86_64', uefi: !BIOS_ARCHITECTURES.includes(architecture) };
}

/** Whether the hardware's records let this interface boot from the network. `netboot` is the record's own switch. */
export function bootPermissionOf(netboot: boolean, settings: HardwareInterface['netboot']): BootPermission {
  if (settings?.allowPXE === false) return 'none';
  return netboot ? 'netboot' : 'disk';
}

export interface BootClient {
  readonly mac: string;
  readonly options: OptionMap;
  readonly permission: BootPermission;
  readonly source: BootSource;
  /** Of a known machine. */
  readonly iface?: HardwareInterface;
}

/** How the boot client goes on; undefined: it gets no boot file and tries its next boot device. */
export function bootDecision(client: BootClient): BootDecision | undefined {
  const firmware = firmwareOf(client.options);
  if (firmware === undefined) return undefined;
  if (client.permission === 'disk') return bootDisk(client, firmware);
  return client.permission === 'netboot' ? bootNetwork(client, firmware) : undefined;
}

/** Only UEFI with a local boot file needs our help; a BIOS goes on to its disk at once when it gets no file. */
function bootDisk(client: BootClient, firmware: Firmware): BootDecision | undefined {
  if (machineKindOf(client.options).uefi !== true) return undefined;
  return bootFile(client, firmware, LOCAL_BOOT_FILE);
}

function bootNetwork(client: BootClient, firmware: Firmware): BootDecision | undefined {
  // Tinkerbell's rule: these two together replace our own choice altogether.
  const { tftp_server_name: ownServer, boot_file_name: ownFile } = client.iface?.dhcp ?? {};
  if (ownServer !== undefined && ownFile !== undefined) return decision(firmware, ownFile, ownServer);
  if (firmware === 'ipxe') return bootScript(client);
  return bootFile(client, firmware, loaderOf(client.options, client.iface));
}

function bootFile(client: BootClient, firmware: Firmware, file: string | undefined): BootDecision | undefined {
  if (file === undefined || !client.source.files.has(file)) return undefined;
  if (firmware === 'ipxe') return bootScript(client);
  return decision(firmware, firmware === 'http' ? `${baseUrl(client)}/boot/${file}` : file, client.source.address);
}

function bootScript(client: BootClient): BootDecision {
  return decision('ipxe', `${baseUrl(client)}/ipxe/${client.mac}/boot.ipxe`, client.source.address);
}

function baseUrl({ source }: BootClient): string {
  return `http://${source.address}:${source.httpPort}`;
}

/** The file that this firmware should load, whether we have it or not. */
export function loaderOf(options: OptionMap, iface: HardwareInterface | undefined): string | undefined {
  const wanted = iface?.netboot?.ipxe?.binary;
  if (wanted !== undefined) return wanted;
  return architecturesOf(options)
    .map((number) => FILE_OF_ARCHITECTURE[number])
    .find((file) => file !== undefined);
}

function decision(firmware: Firmware, file: string, server: string): BootDecision {
  const options = new Map<number, Buffer>();
  // OVMF given 60 without 43 asks port 4011 and boots nothing: the two go together. HTTP boot wants its own class and no 43.
  if (firmware === 'pxe')
    options.set(OPTION.vendorClass, Buffer.from('PXEClient')).set(OPTION.vendorInfo, PXE_NO_DISCOVERY);
  if (firmware === 'http') options.set(OPTION.vendorClass, Buffer.from('HTTPClient'));
  options.set(OPTION.bootFileName, Buffer.from(file, 'latin1'));
  options.set(OPTION.tftpServerName, Buffer.from(server, 'latin1'));
  if (firmware === 'ipxe') options.set(OPTION.ipxe, IPXE_NO_PROXY_DHCP);
  const fits = Buffer.byteLength(file, 'latin1') < FILE_FIELD_BYTES;
  return { siaddr: isIPv4(server) ? server : '0.0.0.0', file: fits ? file : '', options };
}
