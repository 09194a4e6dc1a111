import { TinsmithError } from '#proto/errors.ts';
import type { PowerRequest } from './actions/action-context.ts';
import { type Command, type Task, type TaskRef, taskKey } from './report.ts';
import { runTask, type TaskEnd, type TaskRunOptions } from './task-run.ts';

export interface AgentOptions extends TaskRunOptions {
  /** What this machine is made of: the document that the server keeps. */
  readonly inventoryJson: () => Promise<string>;
}

interface RunningTask {
  readonly ref: TaskRef;
  readonly cancel: AbortController;
  readonly end: Promise<TaskEnd>;
}

/** Tasks remembered as done: a server would have to send older ones again to run them twice. */
const REMEMBERED_TASKS = 1000;

/**
 * Does what the server asks for, one task at a time, until the machine is to go down. Every command may come twice: a task
 * that runs or ran in this process is not run again, a cancel of what does not run changes nothing.
 */
export class Agent {
  readonly #options: AgentOptions;
  readonly #goingDown = Promise.withResolvers<PowerRequest>();
  /** Tasks that were started, oldest first. */
  readonly #started = new Map<string, TaskRef>();
  #current: RunningTask | undefined;
  #last: TaskRef | undefined;
  /** A task that succeeded asked for it; only acknowledgements are waited for. */
  #isGoingDown = false;

  constructor(options: AgentOptions) {
    this.#options = options;
  }

  /** True while a task's actions run. */
  readonly isBusy = (): boolean => this.#current !== undefined;

  /** The task that runs, or that has reports which are not acknowledged. */
  readonly running = (): TaskRef | undefined => {
    if (this.#current !== undefined) return this.#current.ref;
    return this.#options.outbox.isSettled ? undefined : this.#last;
  };

  /**
   * Follows `commands` until a power request is due: that of a task that succeeded, after the server has acknowledged every
   * report, or the server's own. Rejects with what `commands` throws; a running action is then aborted and waited for.
   */
  async follow(commands: AsyncIterable<Command>, signal: AbortSignal): Promise<PowerRequest> {
    try {
      return await Promise.race([this.#obeyAll(commands, signal), this.#goingDown.promise]);
    } finally {
      await this.#stop(new TinsmithError('cancelled', 'the agent is stopping'));
    }
  }

  async #obeyAll(commands: AsyncIterable<Command>, signal: AbortSignal): Promise<never> {
    for await (const command of commands) await this.#obey(command, signal);
    throw new TinsmithError('internal', 'the commands of the server came to an end');
  }

  async #obey(command: Command, signal: AbortSignal): Promise<void> {
    switch (command.kind) {
      case 'runTask':
        await this.#start(command, signal);
        break;
      case 'cancel':
        if (this.#current !== undefined && taskKey(this.#current.ref) === taskKey(command.task)) {
          this.#options.say(`cancelled: ${command.reason}`);
          this.#current.cancel.abort(new TinsmithError('cancelled', command.reason));
        }
        break;
      case 'collectInventory':
        this.#options.outbox.add({ kind: 'inventory', inventoryJson: await this.#options.inventoryJson() });
        break;
      case 'reboot':
      case 'powerOff':
        // A task decides itself how it ends; the server sends this only when it believes that none runs.
        if (this.#current === undefined) this.#goingDown.resolve(command.kind === 'reboot' ? 'reboot' : 'poweroff');
        break;
    }
  }

  async #start(task: Task, signal: AbortSignal): Promise<void> {
    const key = taskKey(task.task);
    // Sent again, for example after a reconnect: it runs, or its reports are on their way.
    if (this.#started.has(key)) return;
    // What is not accepted here waits on the server for the machine's next boot.
    if (this.#isGoingDown) return;
    await this.#stop(new TinsmithError('cancelled', `the server replaced this task by ${task.task.workflow}`));
    this.#started.set(key, task.task);
    const [oldest] = this.#started.keys();
    if (this.#started.size > REMEMBERED_TASKS && oldest !== undefined) this.#started.delete(oldest);
    const cancel = new AbortController();
    const end = runTask(task, this.#options, AbortSignal.any([signal, cancel.signal]));
    const current: RunningTask = { ref: task.task, cancel, end };
    this.#current = current;
    this.#last = task.task;
    void this.#finish(current, signal);
  }

  async #finish(task: RunningTask, signal: AbortSignal): Promise<void> {
    const { power } = await task.end;
    if (this.#current === task) this.#current = undefined;
    if (power === undefined) return;
    this.#isGoingDown = true;
    try {
      // Without end on purpose: the link gives up when the server stays away.
      await this.#options.outbox.settled(signal);
      this.#goingDown.resolve(power);
    } catch {
      // The agent is being stopped: `follow` has its own reason.
    }
  }

  async #stop(reason: TinsmithError): Promise<void> {
    const current = this.#current;
    current?.cancel.abort(reason);
    await current?.end;
  }
}
