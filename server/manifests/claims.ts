import type { Findings, Position } from './findings.ts';
import type { HardwareManifest } from './hardware-kind.ts';

type Claimed = 'MAC' | 'IP address' | 'agent identity';

/** What only one machine may have, with the path of its value in the manifest. */
export interface Identity {
  readonly what: Claimed;
  readonly value: string;
  readonly path: string;
}

/** Everything of a machine that no other machine may have. */
export function identitiesOf(manifest: HardwareManifest): Identity[] {
  const { agentID, interfaces } = manifest.spec;
  const identities: Identity[] = [];
  if (agentID !== undefined) identities.push({ what: 'agent identity', value: agentID, path: 'spec.agentID' });
  for (const [index, { dhcp }] of interfaces.entries()) {
    if (dhcp === undefined) continue;
    const path = `spec.interfaces[${index}].dhcp`;
    identities.push({ what: 'MAC', value: dhcp.mac, path: `${path}.mac` });
    const address = dhcp.ip?.address;
    if (address !== undefined) identities.push({ what: 'IP address', value: address, path: `${path}.ip.address` });
  }
  return identities;
}

/** Who has what only one may have, across all files of one load. */
export class Claims {
  readonly #owners = new Map<string, { readonly owner: string; readonly at: Position }>();
  readonly #findings: Findings;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** Takes a name; a problem if any manifest of that kind in this load has it, even the same one again. */
  claimName(kind: string, name: string, at: Position): void {
    const key = `${kind} name ${name}`;
    const before = this.#owners.get(key);
    if (before === undefined) this.#owners.set(key, { owner: name, at });
    else {
      const first = placeText(before.at);
      this.#findings.refuse(at, `${kind} ${name} is there twice (first at ${first}): rename or remove one`, name);
    }
  }

  /** Takes `value` for `owner`; a problem at `at` if another owner has it. An owner may claim its own value again. */
  claim(what: Claimed, value: string, owner: string, at: Position): void {
    const key = `${what} ${value}`;
    const before = this.#owners.get(key);
    if (before === undefined) this.#owners.set(key, { owner, at });
    else if (before.owner !== owner) {
      const message = `the ${what} ${value} of ${owner} belongs to ${before.owner} (${placeText(before.at)})`;
      this.#findings.refuse(at, `${message}: each needs its own`, value);
    }
  }
}

function placeText(at: Position): string {
  return `${at.file}:${at.line}:${at.column}`;
}
