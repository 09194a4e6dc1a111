import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { TinsmithError } from '#proto/errors.ts';
import type { PowerRequest } from './actions/action-context.ts';
import { Agent } from './agent.ts';
import type { BootSettings } from './boot-settings.ts';
import { type Identity, type IdentityOptions, keepRenewed, obtainIdentity } from './identity.ts';
import { collectInventory } from './inventory/collect-inventory.ts';
import { Link } from './link.ts';
import type { Machine } from './machine/machine.ts';
import { Outbox } from './outbox.ts';
import { PeerBoard } from './peer-board.ts';
import { ServerClock } from './server-clock.ts';
import type { TaskRunOptions } from './task-run.ts';
import { AGENT_VERSION } from './version.ts';

export interface AgentProcessOptions {
  readonly settings: BootSettings;
  /** Kernel boot id: an identity of an earlier boot is not used again. */
  readonly bootId: string;
  readonly machine: Machine;
  readonly runAction: TaskRunOptions['runAction'];
  /** Seconds since boot. */
  readonly uptime: () => number;
  /** One line for the console. */
  readonly say: (line: string) => void;
  /** Sets the machine's clock; absent: it is somebody else's. Never throws. */
  readonly setClock?: (date: Date, say: (line: string) => void) => void;
  readonly signal: AbortSignal;
}

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/**
 * An agent's whole life: identity → connection → tasks → how the machine goes down. Throws `unavailable` when the server was
 * away for too long, `unauthenticated` when it does not take this machine: both are for the init to restart the machine.
 */
export async function runAgentProcess(options: AgentProcessOptions): Promise<PowerRequest> {
  const { settings, bootId, uptime, say, signal, machine, runAction } = options;
  const correct = options.setClock;
  const serverClock = new ServerClock(Date.now, correct && ((date) => correct(date, say)));
  const clock = (): Date => serverClock.now();
  const identityOptions: IdentityOptions = {
    settings,
    bootId,
    agentVersion: AGENT_VERSION,
    inventoryJson: () => inventoryJson(clock()),
    uptime,
    signal,
  };
  const identity = await becomeKnown(identityOptions, say);
  say(`enrolled as ${identity.hardware}`);
  const outbox = new Outbox({ now: monotonicMs });
  const peers = new PeerBoard();
  const agent = new Agent({
    machine,
    outbox,
    peers,
    runAction,
    clock,
    now: monotonicMs,
    say,
    inventoryJson: identityOptions.inventoryJson,
  });
  const link = new Link({
    server: settings.server,
    identity,
    renewed: (held, response) => keepRenewed(identityOptions, held, response),
    outbox,
    serverClock,
    peers,
    session: randomBytes(16).toString('hex'),
    bootId,
    agentVersion: AGENT_VERSION,
    running: agent.running,
    isBusy: agent.isBusy,
    giveUpMs: settings.giveUpMs,
    uptime,
    say,
  });
  return followUntilDown(agent, link, signal);
}

function monotonicMs(): number {
  return performance.now();
}

async function followUntilDown(agent: Agent, link: Link, parent: AbortSignal): Promise<PowerRequest> {
  const ending = new AbortController();
  const signal = AbortSignal.any([parent, ending.signal]);
  try {
    return await agent.follow(link.commands(signal), signal);
  } finally {
    ending.abort(new TinsmithError('cancelled', 'the agent has ended'));
    await link.closed;
  }
}

/** Tries until the server answers, or refuses, or giving up is due. */
async function becomeKnown(options: IdentityOptions, say: (line: string) => void): Promise<Identity> {
  const { settings, signal } = options;
  const giveUpAt = performance.now() + settings.giveUpMs;
  let pauseMs = FIRST_PAUSE_MS;
  let lastSaid = '';
  for (;;) {
    try {
      return await obtainIdentity(options);
    } catch (thrown) {
      signal.throwIfAborted();
      const error = TinsmithError.from(thrown);
      if (error.code === 'unauthenticated' || error.code === 'invalid_input') throw error;
      if (error.message !== lastSaid) say(`${error.message}; trying again`);
      lastSaid = error.message;
      if (performance.now() > giveUpAt) {
        const seconds = Math.round(settings.giveUpMs / 1000);
        throw new TinsmithError('unavailable', `gave up after ${seconds} s: ${error.message}`, { cause: error });
      }
    }
    await delay(pauseMs * (0.5 + Math.random() / 2), undefined, { signal });
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
  }
}

async function inventoryJson(now: Date): Promise<string> {
  const nics = networkInterfaces();
  const addressesOf = (name: string): readonly string[] => (nics[name] ?? []).map(({ address }) => address);
  return JSON.stringify(await collectInventory({ root: '/', arch: process.arch, addressesOf, now }));
}
