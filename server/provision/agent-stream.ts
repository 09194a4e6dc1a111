import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { TinsmithError } from '#proto/errors.ts';
import type { AgentMessage, Hello, ServerMessage } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { grpcStatusOf } from '#proto/grpc-errors.ts';
import { AgentSender } from './agent-sender.ts';
import {
  numberOf,
  peerOfferOf,
  peersMessage,
  reportOf,
  serverMessageOf,
  taskRefOf,
  welcomeMessage,
} from './agent-wire.ts';
import type { AgentCommand, AgentSession, WorkflowEngine } from './engine.ts';
import type { PeerMember, PeerTracker } from './peer-tracker.ts';

export type AgentCall = ServerDuplexStream<AgentMessage, ServerMessage>;

export interface AgentStreamContext {
  readonly engine: WorkflowEngine;
  readonly log: Logger;
  readonly heartbeatMs: number;
  readonly clock: () => Date;
  /** The newest stream of each Hardware. */
  readonly streams: Map<string, AgentStream>;
  /** Absent: agents do not hear of one another. */
  readonly peers?: PeerTracker;
  /** Told when the agent at an address has ended an action, perhaps more than once. */
  readonly onActionEnd?: (address: string) => void;
}

/**
 * One open stream of one agent whose certificate was checked. Reports are stored one after the other, in the order they
 * came, and acknowledged after they are stored. What waits to be sent is bounded whatever the agent does: one number
 * (the newest acknowledgement) and each command once.
 */
export class AgentStream {
  readonly hardware: string;
  /** Milliseconds of performance.now(). */
  lastHeardAt = performance.now();
  /** Resolves when nothing of this stream will reach the engine any more. */
  readonly done: Promise<void>;
  readonly #from: string;
  readonly #call: AgentCall;
  readonly #context: AgentStreamContext;
  readonly #sender: AgentSender;
  readonly #asPeer: PeerMember;
  #session: AgentSession | undefined;
  #isEnded = false;
  #refreshing: Promise<void> | undefined;
  #mustRefreshAgain = false;
  /** Commands that this stream has carried: sending them again would only cost (tasks are big). */
  readonly #sent = new Set<string>();

  constructor(
    call: AgentCall,
    peer: { readonly hardware: string; readonly from: string },
    context: AgentStreamContext,
  ) {
    this.hardware = peer.hardware;
    this.#from = peer.from;
    this.#call = call;
    this.#context = context;
    this.#sender = new AgentSender(call);
    const tell: PeerMember['tell'] = (peers) => this.#sender.sendPeers(peersMessage(peers));
    this.#asPeer = { hardware: peer.hardware, address: peer.from, tell };
    this.done = this.#serve();
  }

  /** Ends the stream; the agent sees the error and connects again. A second call changes nothing. */
  end(error: TinsmithError): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    // grpc-js sends what it is given here as the status of the call.
    this.#call.emit('error', grpcStatusOf(error));
  }

  /** The engine may have something new for this agent. Calls that come while it is being asked become one. */
  refreshCommands(): void {
    // Before hello is answered there is nobody to tell; the answer brings the commands.
    if (this.#session === undefined || this.#isEnded) return;
    if (this.#refreshing !== undefined) {
      this.#mustRefreshAgain = true;
      return;
    }
    this.#refreshing = this.#refresh(this.#session).finally(() => {
      this.#refreshing = undefined;
    });
  }

  async #serve(): Promise<void> {
    try {
      for await (const message of messagesOf(this.#call)) {
        if (this.#isEnded) break;
        this.lastHeardAt = performance.now();
        await this.#take(message);
      }
    } catch (thrown) {
      this.#endBecauseOf(thrown);
    }
    await this.#close();
  }

  async #take(message: AgentMessage): Promise<void> {
    const { engine, clock } = this.#context;
    if (message.body.case === 'hello') return this.#welcome(message.body.value);
    if (this.#session === undefined) {
      throw new TinsmithError('invalid_input', 'cannot serve an agent that does not say hello first');
    }
    engine.heartbeat(this.#session);
    // Harmless when it comes twice: the newest counts.
    if (message.body.case === 'peerOffer') this.#context.peers?.offer(this.#asPeer, peerOfferOf(message.body.value));
    const report = reportOf(message, clock());
    const sequence = numberOf(message.sequence);
    // Harmless when it comes twice (it was sent, stored, and its acknowledgement lost): the engine knows stored sequences.
    if (report !== undefined) await this.#store(this.#session, sequence, report);
    if (report?.kind === 'actionFinished') this.#context.onActionEnd?.(this.#from);
    // A kind of report that only a newer server knows is acknowledged too: sending it again would not help.
    if (sequence > 0) this.#sender.acknowledge(sequence);
  }

  async #store(session: AgentSession, ...report: ReportArguments): Promise<void> {
    try {
      await this.#context.engine.report(session, ...report);
    } catch (thrown) {
      const error = TinsmithError.from(thrown);
      if (!LOST_CAUSES.has(error.code)) throw error;
      // What it reports on was deleted or is over: the agent must not send it for ever.
      this.#context.log.warn({ hardware: this.hardware, code: error.code, error: error.message }, 'report.dropped');
    }
  }

  async #welcome(hello: Hello): Promise<void> {
    if (this.#session !== undefined) {
      throw new TinsmithError('invalid_input', 'cannot serve an agent that says hello twice on one stream');
    }
    const { engine, streams, heartbeatMs, clock } = this.#context;
    const session = sessionOf(hello, this.hardware, this.#from);
    const running = hello.running === undefined ? undefined : taskRefOf(hello.running);
    const older = streams.get(this.hardware);
    streams.set(this.hardware, this);
    older?.end(new TinsmithError('conflict', `a newer connection for ${this.hardware} replaces this one`));
    // The older stream's last report is stored, and its end is noted, before this one counts what is stored.
    await older?.done;
    if (this.#isEnded) return;
    const acknowledged = await engine.acknowledged(session.session);
    this.#session = session;
    this.#sender.send(welcomeMessage({ heartbeatMs, acknowledged, now: clock() }));
    this.#command(await engine.agentConnected(session, running));
  }

  async #refresh(session: AgentSession): Promise<void> {
    try {
      do {
        this.#mustRefreshAgain = false;
        this.#command(await this.#context.engine.commandsFor(session));
      } while (this.#mustRefreshAgain && !this.#isEnded);
    } catch (thrown) {
      this.#endBecauseOf(thrown);
    }
  }

  #command(commands: readonly AgentCommand[]): void {
    for (const command of commands) {
      const key = commandKey(command);
      if (key !== undefined && this.#sent.has(key)) continue;
      if (key !== undefined) this.#sent.add(key);
      this.#sender.send(serverMessageOf(command));
    }
  }

  #endBecauseOf(thrown: unknown): void {
    if (this.#isEnded || this.#call.cancelled) return;
    const error = TinsmithError.from(thrown);
    this.#context.log.warn({ hardware: this.hardware, code: error.code, err: error }, 'agent.stream.failed');
    this.end(error);
  }

  async #close(): Promise<void> {
    const { engine, streams, log } = this.#context;
    if (!this.#isEnded) this.#call.end();
    this.#isEnded = true;
    this.#context.peers?.forget(this.#asPeer);
    await this.#refreshing;
    if (streams.get(this.hardware) === this) streams.delete(this.hardware);
    if (this.#session === undefined) return;
    try {
      await engine.agentDisconnected(this.#session);
    } catch (err) {
      // Nothing hangs on it: the lease says whether the agent is gone. Its Hardware may have been deleted meanwhile.
      log.warn({ hardware: this.hardware, err }, 'agent.disconnected');
    }
  }
}

type ReportArguments = Parameters<WorkflowEngine['report']> extends [unknown, ...infer Rest] ? Rest : never;

/** Errors of a report that the same report would meet again and again. */
const LOST_CAUSES: ReadonlySet<string> = new Set(['not_found', 'illegal_transition', 'invalid_input']);

/** The call's messages, read only as fast as they are taken. Leaving the loop does not destroy the call: its status follows. */
function messagesOf(call: AgentCall): AsyncIterable<AgentMessage> {
  // grpc-js pushes nothing but what the method's requestDeserialize returns.
  return { [Symbol.asyncIterator]: () => call.iterator({ destroyOnReturn: false }) as AsyncIterator<AgentMessage> };
}

function sessionOf(hello: Hello, hardware: string, from: string): AgentSession {
  const fields = [hello.session, hello.bootId, hello.agentVersion];
  if (!fields.every((field) => /^[\w.+-]{1,64}$/.test(field))) {
    throw new TinsmithError('invalid_input', 'cannot serve an agent whose hello lacks session, boot id or version');
  }
  return { session: hello.session, hardware, bootId: hello.bootId, agentVersion: hello.agentVersion, from };
}

/** Commands that need to be said once a stream have a key. */
function commandKey(command: AgentCommand): string | undefined {
  switch (command.kind) {
    case 'runTask':
    case 'cancel':
      return `${command.kind} ${command.task.workflow} ${command.task.attempt} ${command.task.task}`;
    case 'reboot':
    case 'powerOff':
    case 'collectInventory':
      return undefined;
  }
}
