import { readDisk } from './disk-reader.ts';
import type { HardwareDhcp, HardwareInterface, HardwareManifest, HardwareSpec } from './hardware-kind.ts';
import { faultOfIp, faultOfMac, faultsOfAddressPlan, normaliseMac } from './network-address.ts';
import { readNetwork } from './network-reader.ts';
import { objectFrame } from './object-metadata.ts';
import { faultOfObjectName } from './object-names.ts';
import {
  boolean,
  entry,
  integer,
  json,
  jsonObject,
  list,
  noted,
  object,
  optional,
  type Reader,
  refined,
  refuse,
  required,
  secretText,
  text,
} from './yaml-reader.ts';

/** The longest lease of DHCP, in seconds: 32 bits, all ones, is "forever" (RFC 2131 §3.3). */
export const LONGEST_LEASE = 0xffff_ffff;

/** Says what is wrong with a VLAN's number, and the fix. */
export function faultOfVlan(vlan: string): string | undefined {
  return /^[1-9]\d{0,3}$/.test(vlan) && Number(vlan) <= 4094 ? undefined : 'is not a VLAN: use a number from 1 to 4094';
}

const readMac: Reader<string> = refined(text(faultOfMac), normaliseMac);

const readFamily: Reader<number> = refined(integer(4, 6), (family, value) =>
  family === 5 ? refuse(value, `${value.path} is 5: write 4 or 6`, '5') : family,
);

const addressPlanFields = object({
  address: required(noted(text())),
  netmask: required(text()),
  gateway: optional(text()),
  family: optional(readFamily),
});

const readAddressPlan: Reader<NonNullable<HardwareDhcp['ip']>> = refined(addressPlanFields, (plan, value) => {
  // Only IPv4 has netmasks and is leased; another family's addresses are kept for templates and metadata.
  if (plan.family === 6) return plan;
  const faults = faultsOfAddressPlan(plan);
  for (const { part, fault } of faults) {
    refuse(entry(value, part) ?? value, `${value.path}.${part} ${plan[part]} ${fault}`, plan[part]);
  }
  return faults.length > 0 ? undefined : plan;
});

const readDhcp: Reader<HardwareDhcp> = object({
  mac: required(noted(readMac)),
  hostname: optional(text(faultOfHostName)),
  domain_name: optional(text(faultOfHostName)),
  lease_time: optional(integer(0, LONGEST_LEASE)),
  name_servers: optional(list(text(faultOfIp))),
  time_servers: optional(list(text(faultOfIp))),
  arch: optional(text()),
  uefi: optional(boolean()),
  iface_name: optional(text()),
  ip: optional(readAddressPlan),
  vlan_id: optional(text(faultOfVlan)),
  classless_static_routes: optional(
    list(object({ destination_descriptor: required(text()), router: required(text(faultOfIp)) })),
  ),
  tftp_server_name: optional(text()),
  boot_file_name: optional(text()),
});

/** Unlike an object's, a host's name may have upper-case letters. */
function faultOfHostName(name: string): string | undefined {
  return faultOfObjectName(name.toLowerCase());
}

const readInterface: Reader<HardwareInterface> = object({
  disableDhcp: optional(boolean()),
  netboot: optional(
    object({
      allowPXE: optional(boolean()),
      allowWorkflow: optional(boolean()),
      ipxe: optional(object({ url: optional(text()), contents: optional(text()), binary: optional(text()) })),
      osie: optional(
        object({
          baseURL: optional(text()),
          kernel: optional(text()),
          initrd: optional(text()),
          kernelParams: optional(list(text())),
        }),
      ),
      pxelinux: optional(jsonObject()),
      rpi: optional(jsonObject()),
    }),
  ),
  isoboot: optional(jsonObject()),
  dhcp: optional(readDhcp),
});

const specFields = object({
  agentID: optional(noted(text(faultOfAgentId))),
  auto: optional(jsonObject()),
  bmcRef: optional(jsonObject()),
  interfaces: optional(list(readInterface)),
  disks: optional(list(readDisk)),
  network: optional(readNetwork),
  metadata: optional(jsonObject()),
  references: optional(jsonObject()),
  resources: optional(jsonObject()),
  tinkVersion: optional(json()),
  userData: optional(secretText()),
  vendorData: optional(secretText()),
});

const readSpec: Reader<HardwareSpec> = refined(specFields, (spec) => {
  return { ...spec, interfaces: spec.interfaces ?? [], disks: spec.disks ?? [] };
});

const hardwareFields = object({ ...objectFrame, spec: required(readSpec) });

/** Hardware, `tinkerbell.org/v1alpha1`: MACs in any notation become lower case with colons. */
export const readHardware: Reader<HardwareManifest> = refined(hardwareFields, ({ metadata, spec }, value) => {
  if (spec.agentID === undefined && !spec.interfaces.some((nic) => nic.dhcp !== undefined)) {
    return refuse(value, 'the machine has no identity: add spec.interfaces[0].dhcp.mac, or spec.agentID');
  }
  return { ...metadata, spec };
});

function faultOfAgentId(id: string): string | undefined {
  return /^\S{1,253}$/.test(id) ? undefined : 'is not an agent identity: use 1 to 253 characters without spaces';
}
