import { once } from 'node:events';
import { setTimeout as delay, setInterval } from 'node:timers/promises';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { agentServiceDefinition } from '#proto/agent-service-definition.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { AgentMessage, EnrollResponse, ServerMessage, Welcome } from '#proto/gen/tinsmith/agent/v1/agent_pb.ts';
import { errorOfGrpc } from '#proto/grpc-errors.ts';
import { callRenew, openClient } from './grpc-client.ts';
import type { Identity } from './identity.ts';
import {
  commandOf,
  heartbeatMessage,
  helloMessage,
  peerGroupOf,
  peerOfferMessage,
  progressMessage,
  reportMessage,
} from './link-wire.ts';
import type { Outbox } from './outbox.ts';
import type { Offer, PeerBoard } from './peer-board.ts';
import { Pulse } from './pulse.ts';
import type { Command, TaskRef } from './report.ts';
import type { ServerClock } from './server-clock.ts';

export interface LinkOptions {
  /** `host:port` */
  readonly server: string;
  readonly identity: Identity;
  /** Keeps what the server renewed; returns what holds from now on. */
  readonly renewed: (identity: Identity, response: EnrollResponse) => Promise<Identity>;
  readonly outbox: Outbox;
  readonly serverClock: ServerClock;
  readonly peers: PeerBoard;
  /** Random per agent process: sequences count within it. */
  readonly session: string;
  readonly bootId: string;
  readonly agentVersion: string;
  /** The task that runs or has reports that are not acknowledged. */
  readonly running: () => TaskRef | undefined;
  /** While true a server that cannot be reached is waited for without end. */
  readonly isBusy: () => boolean;
  readonly giveUpMs: number;
  /** Seconds since boot. */
  readonly uptime: () => number;
  /** One line for the console. */
  readonly say: (line: string) => void;
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;
const WELCOME_TIMEOUT_MS = 10_000;
const RENEW_RETRY_MS = 60_000;
const RENEW_CHECK_MS = 60_000;

type Call = ClientDuplexStream<AgentMessage, ServerMessage>;

/**
 * The one connection to the server, kept open: it is made again after every cut, for as long as giving up allows. The
 * outbox is sent again from what the server says it has stored. `commands` yields what the server wants (the same command
 * may come on every connection) and throws `unavailable` when it gave up, `unauthenticated` when the server does not take
 * this identity any more.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #waiting: Command[] = [];
  readonly #arrived = new Pulse();
  readonly #closed = Promise.withResolvers<void>();
  #identity: Identity;
  /** Milliseconds of performance.now(): when the server was last there, or when the last task ended. */
  #lastGoodAt = performance.now();
  #wasWelcomed = false;
  #lastSaid = '';

  /** Resolves when `commands` has ended and nothing is open any more. */
  readonly closed: Promise<void> = this.#closed.promise;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#identity = options.identity;
  }

  /** Connects, and stays connected until the signal is aborted or the loop is left. For one consumer. */
  async *commands(signal: AbortSignal): AsyncGenerator<Command> {
    const ending = new AbortController();
    const either = AbortSignal.any([signal, ending.signal]);
    const failed = Promise.withResolvers<never>();
    failed.promise.catch(() => undefined);
    const connecting = this.#stayConnected(either).catch(failed.reject);
    try {
      for (;;) {
        const command = this.#waiting.shift();
        if (command === undefined) await Promise.race([this.#arrived.wait(either), failed.promise]);
        else yield command;
      }
    } finally {
      ending.abort(new TinsmithError('cancelled', 'the agent closes its connection'));
      await connecting;
      this.#closed.resolve();
    }
  }

  async #stayConnected(signal: AbortSignal): Promise<never> {
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      this.#wasWelcomed = false;
      const error = await this.#connectOnce(signal);
      signal.throwIfAborted();
      if (this.#wasWelcomed) {
        pauseMs = FIRST_PAUSE_MS;
        this.#lastGoodAt = performance.now();
      }
      this.#giveUpIfOver(error);
      this.#sayOnce(`no connection to ${this.#options.server}: ${error.message}; trying again`);
      // Between half and the whole, so that a rack of agents does not come back in step.
      await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
  }

  #giveUpIfOver(error: TinsmithError): void {
    const { isBusy, giveUpMs, server } = this.#options;
    if (isBusy()) {
      this.#lastGoodAt = performance.now();
      return;
    }
    if (error.code === 'unauthenticated') throw error;
    if (performance.now() - this.#lastGoodAt < giveUpMs) return;
    const seconds = Math.round(giveUpMs / 1000);
    throw new TinsmithError('unavailable', `gave up: ${server} was not reached for ${seconds} s`, { cause: error });
  }

  /** One connection from dialling to its end. Resolves to why it ended. */
  async #connectOnce(parent: AbortSignal): Promise<TinsmithError> {
    const client = openClient(this.#options.server, this.#identity);
    const ending = new AbortController();
    const signal = AbortSignal.any([parent, ending.signal]);
    const call = openCall(client);
    // Cancelling is what wakes whoever reads or writes the call.
    signal.addEventListener('abort', () => call.cancel(), { once: true });
    try {
      const messages = messagesOf(call);
      const welcome = await this.#hello(call, messages);
      await Promise.race([
        this.#receive(messages),
        this.#send(call, Number(welcome.acknowledged), signal),
        beat(call, welcome.heartbeatMs, signal),
        offerFrames(call, this.#options.peers, signal),
        this.#renewWhenDue(client, signal),
      ]);
      return new TinsmithError('unavailable', 'the server closed the connection');
    } catch (thrown) {
      return errorOfGrpc(thrown, this.#wasWelcomed ? 'the connection broke' : 'the server does not answer');
    } finally {
      ending.abort(new TinsmithError('unavailable', 'the connection ended'));
      client.close();
    }
  }

  async #hello(call: Call, messages: AsyncIterator<ServerMessage>): Promise<Welcome> {
    const { session, bootId, agentVersion, running, outbox, serverClock, server } = this.#options;
    call.write(helloMessage({ session, bootId, agentVersion, running: running() }));
    const welcome = await welcomeOf(call, messages);
    this.#wasWelcomed = true;
    this.#lastSaid = '';
    this.#options.say(`connected to ${server}`);
    outbox.acknowledge(Number(welcome.acknowledged));
    // Before the first task: what it fetches may come with certificates.
    if (welcome.serverTime !== undefined) serverClock.set(timestampDate(welcome.serverTime));
    return welcome;
  }

  async #receive(messages: AsyncIterator<ServerMessage>): Promise<void> {
    for (;;) {
      const { value, done } = await messages.next();
      if (done === true) return;
      if (value.body.case === 'ack') this.#options.outbox.acknowledge(Number(value.body.value.sequence));
      if (value.body.case === 'peers') {
        this.#options.peers.take(value.body.value.digest, peerGroupOf(value.body.value));
      }
      const command = commandOf(value);
      if (command === undefined) continue;
      this.#waiting.push(command);
      this.#arrived.fire();
    }
  }

  /** Everything after `acknowledged`, then whatever comes. */
  async #send(call: Call, acknowledged: number, signal: AbortSignal): Promise<void> {
    const { outbox } = this.#options;
    let sent = acknowledged;
    for (;;) {
      const next = outbox.next(sent);
      if ('waitMs' in next) {
        await outbox.changed(signal, next.waitMs);
      } else if ('progress' in next) {
        await write(call, progressMessage(next.progress), signal);
      } else {
        sent = next.entry.sequence;
        await write(call, reportMessage(sent, next.entry.report), signal);
      }
    }
  }

  /** The certificate is only looked at when a connection is made: the open one goes on with the old. */
  async #renewWhenDue(client: Client, signal: AbortSignal): Promise<never> {
    for (;;) {
      const dueMs = (this.#identity.renewAtUptime - this.#options.uptime()) * 1000;
      if (dueMs > 0) {
        await delay(Math.min(dueMs, RENEW_CHECK_MS), undefined, { signal });
        continue;
      }
      try {
        this.#identity = await this.#options.renewed(this.#identity, await callRenew(client, signal));
      } catch (thrown) {
        signal.throwIfAborted();
        this.#sayOnce(TinsmithError.from(thrown).message);
        await delay(RENEW_RETRY_MS, undefined, { signal });
      }
    }
  }

  /** The console is for people: the same trouble is told once. */
  #sayOnce(line: string): void {
    if (line === this.#lastSaid) return;
    this.#lastSaid = line;
    this.#options.say(line);
  }
}

function openCall(client: Client): Call {
  const { connect } = agentServiceDefinition;
  const call = client.makeBidiStreamRequest(connect.path, connect.requestSerialize, connect.responseDeserialize);
  // Whoever reads sees the error; without a listener one that comes after would end the process.
  call.on('error', () => undefined);
  return call;
}

/** grpc-js pushes nothing but what the method's responseDeserialize returns. */
function messagesOf(call: Call): AsyncIterator<ServerMessage> {
  return call.iterator({ destroyOnReturn: false }) as AsyncIterator<ServerMessage>;
}

/** The server's first message. Throws `timed_out` when it takes too long, `unavailable` when it is something else. */
async function welcomeOf(call: Call, messages: AsyncIterator<ServerMessage>): Promise<Welcome> {
  let isLate = false;
  const deadline = setTimeout(() => {
    isLate = true;
    call.cancel();
  }, WELCOME_TIMEOUT_MS);
  try {
    const { value, done } = await messages.next();
    if (done !== true && value.body.case === 'welcome') return value.body.value;
    throw new TinsmithError('unavailable', 'the server did not welcome this agent');
  } catch (thrown) {
    if (!isLate) throw thrown;
    throw new TinsmithError('timed_out', `the server did not answer within ${WELCOME_TIMEOUT_MS / 1000} s`);
  } finally {
    clearTimeout(deadline);
  }
}

/** Resolves when there is room for the next message: a slow server does not make the agent grow. */
async function write(call: Call, message: AgentMessage, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (!call.write(message)) await once(call, 'drain', { signal });
}

async function beat(call: Call, everyMs: number, signal: AbortSignal): Promise<void> {
  for await (const _ of setInterval(everyMs, undefined, { signal })) await write(call, heartbeatMessage(), signal);
}

/** What is offered now, and then whatever changes: the server forgets it with every connection. */
async function offerFrames(call: Call, board: PeerBoard, signal: AbortSignal): Promise<never> {
  for (let told: Offer | undefined; ; ) {
    const { offer } = board;
    if (offer !== undefined && offer !== told) await write(call, peerOfferMessage(offer), signal);
    told = offer;
    // It may have changed while the message was written.
    if (board.offer === told) await board.changed(signal);
  }
}
