import { Pulse } from './pulse.ts';
import type { OfferedPlace, PeerAnnouncement, PeerDirectory, PeerGroup } from './write/library/peers/peer-directory.ts';

/** What the server is to know of this machine's frames. Port 0: nothing is offered any more. */
export interface Offer extends OfferedPlace {
  readonly frames: number;
}

/** Where the image write path and the link to the server meet: the one says what it offers, the other what the server answers. */
export class PeerBoard implements PeerDirectory {
  /** Undefined: the server was never told anything. */
  offer: Offer | undefined;
  readonly #changed = new Pulse();
  #group: PeerGroup | undefined;

  announce({ digest, port }: OfferedPlace): PeerAnnouncement {
    this.#group = undefined;
    const set = (offer: Offer): void => {
      this.offer = offer;
      this.#changed.fire();
    };
    set({ digest, port, frames: 0 });
    const groupNow = (): PeerGroup | undefined => this.#group;
    return {
      get group() {
        return groupNow();
      },
      noteFrames: (frames) => set({ digest, port, frames }),
      [Symbol.dispose]: () => set({ digest, port: 0, frames: 0 }),
    };
  }

  /** What came from the server. What it says of another image came too late. */
  take(digest: string, group: PeerGroup): void {
    if (this.offer?.digest === digest && this.offer.port !== 0) this.#group = group;
  }

  /** Resolves when `offer` is another one. */
  async changed(signal: AbortSignal): Promise<void> {
    await this.#changed.wait(signal);
  }
}
