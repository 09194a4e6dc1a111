import type { HardwareFacts } from '#proto/actions/facts.ts';
import type { HardwareManifest } from './hardware-kind.ts';

/** What the record says of a machine, for its agent and for its installed system. */
export function hardwareFacts({ name, spec }: Pick<HardwareManifest, 'name' | 'spec'>): HardwareFacts {
  return {
    hardware: name,
    ...(spec.network === undefined ? {} : { network: spec.network }),
    disks: spec.disks.map(({ device, ...hints }) => (Object.keys(hints).length === 0 ? { device } : { device, hints })),
    interfaces: spec.interfaces.flatMap(({ dhcp }) => {
      if (dhcp === undefined) return [];
      const { mac, iface_name: systemName, hostname, ip, name_servers: nameServers = [], vlan_id: vlanId } = dhcp;
      return {
        mac,
        ...(systemName === undefined ? {} : { name: systemName }),
        ...(hostname === undefined ? {} : { hostname }),
        ...(ip === undefined ? {} : { address: ip.address, netmask: ip.netmask }),
        ...(ip?.gateway === undefined ? {} : { gateway: ip.gateway }),
        nameServers,
        ...(vlanId === undefined ? {} : { vlanId }),
      };
    }),
  };
}
