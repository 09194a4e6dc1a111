import type { Findings, Position } from './findings.ts';

type Claimed = 'MAC' | 'IP address' | 'agent identity';

/** What only one machine may have, and who has it, across all files of one load and what is stored already. */
export class Claims {
  readonly #owners = new Map<string, { readonly owner: string; readonly at?: Position }>();
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
      const first = before.at === undefined ? '' : ` (first at ${placeText(before.at)})`;
      this.#findings.refuse(at, `${kind} ${name} is there twice${first}: rename or remove one`, name);
    }
  }

  /** Takes `value` for `owner`; a problem at `at` if another owner has it. An owner may claim its own value again. */
  claim(what: Claimed, value: string, owner: string, at: Position): void {
    const key = `${what} ${value}`;
    const before = this.#owners.get(key);
    if (before === undefined) {
      this.#owners.set(key, { owner, at });
      return;
    }
    if (before.owner === owner) return;
    const place = before.at === undefined ? 'stored already' : placeText(before.at);
    const fix = before.at === undefined ? 'correct it, or delete the stored one first' : 'each needs its own';
    this.#findings.refuse(at, `the ${what} ${value} of ${owner} belongs to ${before.owner} (${place}): ${fix}`, value);
  }

  /** Notes what a stored record has. */
  claimStored(what: Claimed, value: string, owner: string): void {
    const key = `${what} ${value}`;
    if (!this.#owners.has(key)) this.#owners.set(key, { owner });
  }
}

function placeText(at: Position): string {
  return `${at.file}:${at.line}:${at.column}`;
}
