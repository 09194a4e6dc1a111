/** How a machine hears of others that write the same image: from the server, over the connection that is there anyway. */
export interface PeerDirectory {
  /** Tells the server where others get frames of the image, until it is disposed. One at a time. */
  announce(place: OfferedPlace): PeerAnnouncement;
}

export interface OfferedPlace {
  /** SHA-256 of the image's index. */
  readonly digest: string;
  readonly port: number;
}

export interface PeerAnnouncement extends Disposable {
  /** What the server said last; undefined: nothing yet. */
  readonly group: PeerGroup | undefined;
  /** How many frames there are by now. Not to be called more often than once in a second or so. */
  noteFrames(count: number): void;
}

export interface PeerGroup {
  /** This machine's place among all that write the image, 0 to `of` - 1. */
  readonly rank: number;
  readonly of: number;
  /** Some of the others. */
  readonly peers: readonly PeerAddress[];
}

export interface PeerAddress {
  readonly address: string;
  readonly port: number;
}
