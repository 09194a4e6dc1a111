/** What an agent offers to others that write the same library image. */
export interface PeerOffer {
  /** SHA-256 of the image's index. */
  readonly digest: string;
  readonly port: number;
  /** How many frames it has by now. */
  readonly frames: number;
}

/** Who writes the same image, as one of them is told. */
export interface PeersTold {
  readonly digest: string;
  /** Its own place among all of them, 0 to `of` - 1. */
  readonly rank: number;
  readonly of: number;
  readonly peers: readonly { readonly address: string; readonly port: number }[];
}

/** One connection of an agent. */
export interface PeerMember {
  readonly hardware: string;
  /** Of the connection: an agent cannot name another one's. */
  readonly address: string;
  tell(peers: PeersTold): void;
}

interface Row extends PeerOffer {
  readonly member: PeerMember;
}

/** Told to one agent: with these, laid out as below, frames come to everybody in a few steps however many there are. */
const MOST_PEERS = 16;

/**
 * Which agents write the same library image now, and where they give its frames away. It lives in memory: it holds for open
 * connections only, and after a restart every agent says its offer again. What agents say is not checked here: they believe each
 * other nothing, every frame is checked by its sum.
 */
export class PeerTracker {
  /** By digest, in the order in which they came. */
  readonly #groups = new Map<string, Map<PeerMember, Row>>();
  readonly #digests = new Map<PeerMember, string>();
  readonly #changed = new Set<string>();

  /** The newest offer of a member counts; port 0 takes it back. Saying it twice changes nothing. */
  offer(member: PeerMember, offer: PeerOffer): void {
    if (offer.port === 0 || this.#digests.get(member) !== offer.digest) this.forget(member);
    if (offer.port === 0) return;
    const group = this.#groups.get(offer.digest) ?? new Map<PeerMember, Row>();
    const before = group.get(member);
    group.set(member, { ...offer, member });
    if (before?.port === offer.port) return;
    this.#groups.set(offer.digest, group);
    this.#digests.set(member, offer.digest);
    this.#changed.add(offer.digest);
    // The newcomer begins with what is known; the others hear of it with the next `tellChanges`.
    this.#tell(offer.digest, member);
  }

  /** Its connection ended, or it gives nothing away any more. */
  forget(member: PeerMember): void {
    const digest = this.#digests.get(member);
    if (digest === undefined) return;
    const group = this.#groups.get(digest);
    this.#digests.delete(member);
    group?.delete(member);
    if (group?.size === 0) this.#groups.delete(digest);
    this.#changed.add(digest);
  }

  /** Tells the members of every group that changed, if any did. To be called now and then: a rack that starts at once is told once. */
  tellChanges(): boolean {
    const isChanged = this.#changed.size > 0;
    for (const digest of this.#changed) {
      for (const member of this.#groups.get(digest)?.keys() ?? []) this.#tell(digest, member);
    }
    this.#changed.clear();
    return isChanged;
  }

  /** Who has how much of which image, for the log. */
  rows(): readonly { readonly hardware: string; readonly digest: string; readonly frames: number }[] {
    return [...this.#groups.values()].flatMap((group) =>
      [...group.values()].map(({ member: { hardware }, digest, frames }) => ({ hardware, digest, frames })),
    );
  }

  #tell(digest: string, member: PeerMember): void {
    const rows = [...(this.#groups.get(digest)?.values() ?? [])];
    const rank = rows.findIndex((row) => row.member === member);
    const peers = othersOf(rank, rows.length).flatMap((place) => {
      const row = rows[place];
      return row === undefined ? [] : [{ address: row.member.address, port: row.port }];
    });
    member.tell({ digest, rank, of: rows.length, peers });
  }
}

/**
 * Places of those that `rank` hears of: all, or, when they are many, those 1, 2, 4, 8, … places away in both directions. Everybody is
 * then a few steps from everybody else.
 */
export function othersOf(rank: number, of: number): readonly number[] {
  const places = new Set<number>();
  if (of <= MOST_PEERS + 1) for (let place = 0; place < of; place++) places.add(place);
  for (let step = 1; step < of && places.size < MOST_PEERS; step *= 2) {
    places.add((rank + step) % of);
    places.add((rank - step + of) % of);
  }
  places.delete(rank);
  return [...places];
}
