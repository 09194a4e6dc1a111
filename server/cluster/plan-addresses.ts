import { isIPv4 } from 'node:net';
import { type Findings, listed, type Position } from '../manifests/findings.ts';
import type { AddressState, PlannedAddress } from './cluster-plan.ts';
import type { AddressProbe, PlanEnvironment, PlanInput } from './plan-input.ts';
import type { NodePlan } from './plan-nodes.ts';

/** An address that the cluster will use. */
interface WantedAddress {
  readonly address: string;
  readonly what: string;
  readonly at: Position;
  /** MACs of the machine that it belongs to. */
  readonly macs: readonly string[];
  readonly kind: 'endpoint' | 'tinkerbellIP' | 'node';
}

/** The addresses that nobody else may have: the endpoint, the tinkerbellIP, those of machines that become nodes. */
export function wantedAddresses({ definition, placeOf }: PlanInput, plan: NodePlan): readonly WantedAddress[] {
  const { cluster, datacenter } = definition;
  const path = 'spec.controlPlaneConfiguration.endpoint.host';
  const endpoint: WantedAddress = {
    address: cluster.controlPlane.endpointHost,
    what: 'control plane endpoint',
    at: placeOf('Cluster', cluster.name, path),
    macs: [],
    kind: 'endpoint',
  };
  const tinkerbell: WantedAddress = {
    address: datacenter.tinkerbellIP,
    what: 'tinkerbellIP',
    at: placeOf('TinkerbellDatacenterConfig', datacenter.name, 'spec.tinkerbellIP'),
    macs: [],
    kind: 'tinkerbellIP',
  };
  const nodes = plan.nodes
    .filter(({ fate }) => fate === 'added' || fate === 'renewed')
    .flatMap(({ machine }) => {
      const dhcps = (plan.hardware.get(machine)?.spec.interfaces ?? []).flatMap(({ dhcp }) => dhcp ?? []);
      const macs = dhcps.map(({ mac }) => mac);
      return dhcps.flatMap(({ ip }, index): readonly WantedAddress[] => {
        if (ip === undefined) return [];
        const at = placeOf('Hardware', machine, `spec.interfaces[${index}].dhcp.ip.address`);
        return [{ address: ip.address, what: `node ${machine}`, at, macs, kind: 'node' }];
      });
    });
  return [endpoint, tinkerbell, ...nodes];
}

/** What is known of each address; what stands in the way is a problem, what looks wrong a warning. */
export function planAddresses(
  input: PlanInput,
  wanted: readonly WantedAddress[],
  environment: PlanEnvironment,
  findings: Findings,
): readonly PlannedAddress[] {
  return wanted.map((each) => {
    const isHere = environment.hostAddresses.includes(each.address);
    const { state, detail } = stateOf(input, each, environment);
    switch (each.kind) {
      case 'endpoint':
        checkEndpoint(input, each, { isHere, state, detail, pool: environment.pool }, findings);
        break;
      case 'tinkerbellIP':
        if (!isHere)
          findings.warn(each.at, strangeTinkerbellIp(each.address, { state, detail, environment }), each.address);
        break;
      case 'node':
        if (isHere)
          findings.refuse(
            each.at,
            `the address ${each.address} of ${each.what} is one of this host: choose another one`,
            each.address,
          );
        else if (state === 'taken') findings.refuse(each.at, takenBy(each, detail), each.address);
    }
    return { address: each.address, what: each.what, state, ...(detail === undefined ? {} : { detail }) };
  });
}

interface Known {
  readonly state: AddressState;
  readonly detail?: string | undefined;
}

function stateOf({ existing, definition }: PlanInput, wanted: WantedAddress, environment: PlanEnvironment): Known {
  const { address, kind, macs } = wanted;
  if (environment.hostAddresses.includes(address)) return { state: 'own', detail: 'an address of this host' };
  if (!isIPv4(address)) return { state: 'notChecked', detail: 'no IPv4 address' };
  const probe = environment.probes?.get(address);
  if (probe === undefined) return { state: 'notChecked' };
  if (!probe.isTaken) return { state: 'free' };
  const detail = probeText(probe);
  const isOwnMachine = probe.mac !== undefined && macs.includes(probe.mac);
  if (isOwnMachine) return { state: 'own', detail: `its machine is on (${probe.mac})` };
  if (kind === 'endpoint' && existing !== undefined) return { state: 'own', detail: 'the cluster answers there' };
  if (kind === 'endpoint' && definition.cluster.controlPlane.skipLoadBalancerDeployment) {
    return { state: 'own', detail: 'a load balancer of your own' };
  }
  return { state: 'taken', detail };
}

function probeText({ mac, detail }: AddressProbe): string {
  return [detail, mac === undefined ? undefined : `MAC ${mac}`].filter((text) => text !== undefined).join(', ');
}

const SKIP = 'or say --skip-ip-check if that is known to be wrong';

function takenBy({ address, what }: WantedAddress, detail = 'it answers'): string {
  return `the address ${address} of ${what} is in use (${detail}): switch that machine off or choose another address, ${SKIP}`;
}

function checkEndpoint(
  { existing }: PlanInput,
  wanted: WantedAddress,
  known: Known & { readonly isHere: boolean; readonly pool: PlanEnvironment['pool'] },
  findings: Findings,
): void {
  const { address, at } = wanted;
  if (known.isHere) {
    findings.refuse(at, `the endpoint ${address} is an address of this host: choose one that nobody has`, address);
  } else if (known.state === 'taken' && existing === undefined) {
    findings.refuse(at, takenBy(wanted, known.detail), address);
  }
  if (isInPool(address, known.pool)) {
    const { first, last } = known.pool;
    findings.warn(
      at,
      `the endpoint ${address} lies in the DHCP pool ${first}-${last}: another machine may be given it`,
      address,
    );
  }
}

function strangeTinkerbellIp(
  address: string,
  { state, detail, environment }: Known & { readonly environment: PlanEnvironment },
): string {
  const { hostAddresses, site } = environment;
  const others = hostAddresses.length === 0 ? '' : ` (${listed(hostAddresses, 4)})`;
  const taken = state === 'taken' ? `, and another machine has it (${detail ?? 'it answers'})` : '';
  return `the tinkerbellIP ${address} is no address of this host${others}${taken}: nodes reach their metadata at ${site.metadataUrl} only`;
}

function isInPool(address: string, pool: PlanEnvironment['pool']): pool is NonNullable<PlanEnvironment['pool']> {
  if (pool === undefined || !isIPv4(address)) return false;
  return number(pool.first) <= number(address) && number(address) <= number(pool.last);
}

function number(address: string): number {
  return Buffer.from(address.split('.').map(Number)).readUInt32BE(0);
}
