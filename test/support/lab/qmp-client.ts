/** QEMU's machine protocol: JSON objects, one a line, over a Unix socket. docs/interop/qmp-spec.rst of QEMU. */
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (reason: Error) => void;
}

/** One connection to one QEMU. Whoever connected it closes it. */
export class QmpClient implements AsyncDisposable {
  readonly #socket: Socket;
  readonly #pending: Pending[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('error', () => {}); // A reset at QEMU's end is the same as a close.
    socket.on('close', () => {
      for (const { reject } of this.#pending.splice(0)) reject(new Error('QEMU closed its QMP socket'));
    });
    createInterface({ input: socket }).on('line', (line) => this.#answer(line));
  }

  /** Waits for QEMU to make its socket, then negotiates. */
  static async connect(path: string, timeoutMs = 60_000): Promise<QmpClient> {
    const deadline = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const socket = createConnection(path);
      try {
        await once(socket, 'connect', { signal: deadline });
        const client = new QmpClient(socket);
        await client.execute('qmp_capabilities');
        return client;
      } catch (error) {
        socket.destroy();
        if (deadline.aborted) throw new Error(`cannot reach QEMU at ${path} within ${timeoutMs} ms`, { cause: error });
        await sleep(20);
      }
    }
  }

  /** Runs one command and resolves with its return value. QEMU answers in the order of the commands. */
  async execute(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    if (this.#socket.destroyed) throw new Error(`cannot run ${command}: QEMU closed its QMP socket`);
    this.#pending.push({ resolve, reject });
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters })}\n`);
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
  }

  #answer(line: string): void {
    const message: { return?: unknown; error?: { desc?: string } } = JSON.parse(line);
    if (message.error !== undefined) this.#pending.shift()?.reject(new Error(`QEMU: ${message.error.desc ?? line}`));
    else if ('return' in message) this.#pending.shift()?.resolve(message.return);
    // Everything else is a greeting or an event; nobody here waits for those.
  }
}
