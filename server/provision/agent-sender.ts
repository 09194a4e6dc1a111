import type { ServerMessage } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { ackMessage } from './agent-wire.ts';

/** The writing half of a gRPC call. */
export interface AgentOutlet {
  readonly writable: boolean;
  /** False: wait for `drain`. */
  write(message: ServerMessage): boolean;
  on(event: 'drain', listener: () => void): unknown;
}

/**
 * Writes as fast as the agent reads and holds the rest, which stays small however slowly it reads: acknowledgements are
 * cumulative, so only the newest waits, so it is with peers, and commands are few (AgentStream sends each once).
 */
export class AgentSender {
  readonly #outlet: AgentOutlet;
  readonly #waiting: ServerMessage[] = [];
  #acknowledged = 0;
  #acknowledgedSent = 0;
  #peers: ServerMessage | undefined;
  #isBlocked = false;

  constructor(outlet: AgentOutlet) {
    this.#outlet = outlet;
    outlet.on('drain', () => {
      this.#isBlocked = false;
      this.#pump();
    });
  }

  send(message: ServerMessage): void {
    this.#waiting.push(message);
    this.#pump();
  }

  /** In place of those that wait to be sent. */
  sendPeers(message: ServerMessage): void {
    this.#peers = message;
    this.#pump();
  }

  /** Everything up to and including `sequence` is stored. */
  acknowledge(sequence: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, sequence);
    this.#pump();
  }

  #pump(): void {
    while (!this.#isBlocked && this.#outlet.writable) {
      const message = this.#waiting.shift() ?? this.#ack() ?? this.#newPeers();
      if (message === undefined) return;
      this.#isBlocked = !this.#outlet.write(message);
    }
  }

  #newPeers(): ServerMessage | undefined {
    const message = this.#peers;
    this.#peers = undefined;
    return message;
  }

  #ack(): ServerMessage | undefined {
    if (this.#acknowledged === this.#acknowledgedSent) return undefined;
    this.#acknowledgedSent = this.#acknowledged;
    return ackMessage(this.#acknowledged);
  }
}
