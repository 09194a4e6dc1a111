import { networkInterfaces } from 'node:os';
import type { Config } from '../config.ts';
import { probeAddresses } from './address-probe.ts';
import type { HostPort } from './cluster-plan.ts';
import type { AddressProbe, PlanEnvironment } from './plan-input.ts';

/** The host that plans are made on. */
export interface PlanHost extends Pick<PlanEnvironment, 'ports' | 'pool'> {
  /** Base URL of the metadata service as machines reach it. */
  readonly metadataUrl: string;
  addresses(): readonly string[];
  probe(addresses: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, AddressProbe>>;
}

/** This host as its configuration has it, and the ports that the metadata service is bound to. */
export function planHost(config: Config, facing: FacingHost): PlanHost {
  const [first, last] = config['dhcp.pool'].split('-').map((text) => text.trim());
  return {
    metadataUrl: `http://${facing.address}:${facing.metadata}`,
    ports: hostPorts(config, facing.metadataLegacy),
    ...(first !== undefined && last !== undefined && first !== '' ? { pool: { first, last } } : {}),
    addresses: () =>
      Object.values(networkInterfaces())
        .flatMap((entries) => entries ?? [])
        .filter(({ family, internal }) => family === 'IPv4' && !internal)
        .map(({ address }) => address),
    probe: (addresses, signal) => probeAddresses(addresses, { signal }),
  };
}

interface FacingHost {
  readonly address: string;
  readonly metadata: number;
  /** Undefined: it is switched off, or somebody else has it. */
  readonly metadataLegacy: number | undefined;
}

function hostPorts(config: Config, legacy: number | undefined): readonly HostPort[] {
  const dhcp: HostPort[] =
    config['dhcp.mode'] === 'off' ? [] : [{ port: config['dhcp.port'], protocol: 'udp', what: 'DHCP' }];
  return [
    ...dhcp,
    { port: config['tftp.port'], protocol: 'udp', what: 'TFTP' },
    { port: config['http.port'], protocol: 'tcp', what: 'boot files and images' },
    { port: config['metadata.port'], protocol: 'tcp', what: 'metadata and user data' },
    ...(legacy === undefined
      ? []
      : [{ port: legacy, protocol: 'tcp', what: 'the same, for older templates' } as const]),
    { port: config['grpc.port'], protocol: 'tcp', what: 'agents' },
    { port: config['admin.port'], protocol: 'tcp', what: `admin API on ${config['admin.address']}` },
  ];
}
