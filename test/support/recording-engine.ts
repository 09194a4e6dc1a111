import { Pulse } from '#agent/pulse.ts';
import type {
  AgentCommand,
  AgentReport,
  AgentSession,
  TaskAction,
  TaskRef,
  WorkflowEngine,
} from '#server/provision/engine.ts';

export interface StoredReport {
  readonly session: string;
  readonly sequence: number;
  readonly report: AgentReport;
}

/**
 * A workflow engine that decides nothing: it keeps what agents report, once for each sequence of a session as the contract
 * demands, and gives out the commands that a test sets. It outlives the services that use it, as the store does.
 */
export class RecordingEngine implements WorkflowEngine {
  readonly stored: StoredReport[] = [];
  readonly progress: AgentReport[] = [];
  readonly connects: { readonly session: AgentSession; readonly running: TaskRef | undefined }[] = [];
  disconnects = 0;
  heartbeats = 0;
  /** How often a sequence came that was stored already. */
  repeats = 0;
  /** Awaited before every report is stored. */
  beforeReport: (report: AgentReport) => Promise<void> = async () => undefined;
  readonly #acknowledged = new Map<string, number>();
  readonly #commands = new Map<string, readonly AgentCommand[]>();
  readonly #changed = new Pulse();
  readonly #happened = new Pulse();

  command(hardware: string, ...commands: readonly AgentCommand[]): void {
    this.#commands.set(hardware, commands);
    this.#changed.fire();
  }

  /** Resolves when `isTrue` holds; rejects after a minute. */
  async until(isTrue: () => boolean, what: string): Promise<void> {
    const signal = AbortSignal.timeout(60_000);
    while (!isTrue()) {
      await this.#happened.wait(signal).catch((cause: unknown) => {
        throw new Error(`waited for: ${what}`, { cause });
      });
    }
  }

  /** `taskAccepted`, `started 0`, `finished 0 succeeded`, …; without log lines and inventories. */
  story(): readonly string[] {
    return this.stored.flatMap(({ report }) => storyOf(report));
  }

  logText(): readonly string[] {
    return this.stored.flatMap(({ report }) =>
      report.kind === 'actionLog' ? report.lines.map((line) => line.text) : [],
    );
  }

  async agentConnected(session: AgentSession, running: TaskRef | undefined): Promise<readonly AgentCommand[]> {
    this.connects.push({ session, running });
    this.#happened.fire();
    return this.commandsFor(session);
  }

  async acknowledged(session: string): Promise<number> {
    return this.#acknowledged.get(session) ?? 0;
  }

  async report(session: AgentSession, sequence: number, report: AgentReport): Promise<void> {
    await this.beforeReport(report);
    if (sequence === 0) {
      this.progress.push(report);
    } else if (sequence <= (this.#acknowledged.get(session.session) ?? 0)) {
      this.repeats += 1;
    } else {
      this.#acknowledged.set(session.session, sequence);
      this.stored.push({ session: session.session, sequence, report });
    }
    this.#happened.fire();
  }

  heartbeat(): void {
    this.heartbeats += 1;
    this.#happened.fire();
  }

  async agentDisconnected(): Promise<void> {
    this.disconnects += 1;
    this.#happened.fire();
  }

  async commandsFor(session: AgentSession): Promise<readonly AgentCommand[]> {
    return this.#commands.get(session.hardware) ?? [];
  }

  async *changes(signal: AbortSignal): AsyncGenerator<string> {
    for (;;) {
      await this.#changed.wait(signal);
      yield* this.#commands.keys();
    }
  }

  async sweep(): Promise<void> {}
}

function storyOf(report: AgentReport): readonly string[] {
  switch (report.kind) {
    case 'taskAccepted':
      return ['accepted'];
    case 'actionStarted':
      return [`started ${report.action}`];
    case 'actionFinished':
      return [`finished ${report.action} ${report.result.outcome}`];
    case 'actionLog':
    case 'actionProgress':
    case 'inventory':
      return [];
  }
}

export function runTaskCommand(
  workflow: string,
  actions: readonly Partial<TaskAction>[],
  attempt = 1,
): AgentCommand & { readonly kind: 'runTask' } {
  return {
    kind: 'runTask',
    task: { workflow, attempt, task: 0 },
    name: 'os',
    facts: { hardware: 'm', interfaces: [] },
    actions: actions.map((action, index) => ({
      name: `action-${index}`,
      builtIn: 'cexec',
      timeoutMs: 60_000,
      environment: {},
      command: [],
      retries: 0,
      ...action,
    })),
  };
}
