import type { Position } from './findings.ts';
import { type CsvCells, labelOf, piecesOf, textOf } from './hardware-csv-row.ts';
import type { HardwareInterface, HardwareManifest, JsonObject } from './hardware-kind.ts';
import type { Located } from './located.ts';
import { normaliseMac } from './network-address.ts';

/** The Hardware that EKS Anywhere makes of a checked row, field by field. */
export function hardwareFromCsv(row: CsvCells): Located<HardwareManifest> {
  const name = textOf(row, 'hostname');
  const hasBmc = textOf(row, 'bmc_ip') !== '';
  const value: HardwareManifest = {
    name,
    labels: Object.fromEntries(piecesOf(row, 'labels').map(labelOf)),
    annotations: {},
    spec: {
      ...(hasBmc ? { bmcRef: { kind: 'Machine', name: `bmc-${name}` } } : {}),
      disks: [{ device: textOf(row, 'disk') }],
      interfaces: [interfaceOf(row)],
      metadata: metadataOf(row),
    },
  };
  const at = row.get('hostname')?.at ?? { file: '', line: 0, column: 0 };
  return { value, origin: 'csv', at, fields: fieldsOf(row) };
}

/** What EKS Anywhere gives as lease time: the longest that is not "forever". */
const LEASE_SECONDS = 4_294_967_294;

function interfaceOf(row: CsvCells): HardwareInterface {
  const vlan = textOf(row, 'vlan_id');
  return {
    netboot: { allowPXE: true, allowWorkflow: true },
    dhcp: {
      arch: 'x86_64',
      mac: macOf(row),
      hostname: textOf(row, 'hostname'),
      ip: {
        address: textOf(row, 'ip_address'),
        netmask: textOf(row, 'netmask'),
        gateway: textOf(row, 'gateway'),
        family: 4,
      },
      lease_time: LEASE_SECONDS,
      name_servers: piecesOf(row, 'nameservers'),
      uefi: true,
      ...(vlan === '' ? {} : { vlan_id: vlan }),
    },
  };
}

function metadataOf(row: CsvCells): JsonObject {
  return {
    facility: { facility_code: 'onprem', plan_slug: 'c2.medium.x86' },
    instance: {
      id: macOf(row),
      hostname: textOf(row, 'hostname'),
      ips: [
        {
          address: textOf(row, 'ip_address'),
          netmask: textOf(row, 'netmask'),
          gateway: textOf(row, 'gateway'),
          family: 4,
          public: true,
        },
      ],
      allow_pxe: true,
      always_pxe: true,
      operating_system: {},
    },
  };
}

function macOf(row: CsvCells): string {
  const written = textOf(row, 'mac');
  return normaliseMac(written) ?? written;
}

function fieldsOf(row: CsvCells): ReadonlyMap<string, Position> {
  const places = [
    ['metadata.name', row.get('hostname')?.at],
    ['metadata.labels', row.get('labels')?.at],
    ['spec.interfaces[0].dhcp.mac', row.get('mac')?.at],
    ['spec.interfaces[0].dhcp.ip.address', row.get('ip_address')?.at],
  ] as const;
  return new Map(places.flatMap(([path, at]) => (at === undefined ? [] : [[path, at] as const])));
}
