import { once } from 'node:events';
import { link, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { openImageLibrary } from '#server/library/image-library.ts';
import { openSqliteStore } from '#server/store/sqlite-store.ts';
import { type CliResult, runCliProcess, startCliProcess } from '#test/support/cli-process.ts';

const now = (): Date => new Date();

/** `tinsmith serve` in a process of its own, on free ports of loopback; it is killed and started again on the same folder. */
export class ServeProcess implements AsyncDisposable {
  readonly folder: string;
  /** Of its machine-facing HTTP; another one after each start, 0 while it is down. */
  httpPort = 0;
  #admin = '';
  #running: ReturnType<typeof startCliProcess> | undefined;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** Resolves when it serves. */
  async start(): Promise<void> {
    const ports = ['http', 'metadata', 'metadata-legacy', 'grpc', 'admin', 'tftp'].flatMap((name) => [
      `--${name}-port`,
      '0',
    ]);
    const argv = ['serve', '--data-dir', this.folder, '--address', '127.0.0.1', '--dhcp-mode', 'off', ...ports];
    const running = startCliProcess(undefined, argv);
    this.#running = running;
    const lines = createInterface({ input: running.child.stdout });
    for await (const line of lines) {
      const { msg, admin, http } = JSON.parse(line) as { msg: string; admin?: string; http?: number };
      if (msg !== 'server.started' || admin === undefined || http === undefined) continue;
      this.#admin = admin;
      this.httpPort = http;
      return;
    }
    throw new Error(`the server did not start: ${(await running.result).stderr}`);
  }

  async kill(): Promise<void> {
    this.httpPort = 0;
    await this.#running?.[Symbol.asyncDispose]();
    this.#running = undefined;
  }

  /** Made available at /images/. */
  async addFile(file: string): Promise<void> {
    const images = join(this.folder, 'images');
    await mkdir(images, { recursive: true });
    await link(file, join(images, basename(file)));
  }

  cli(...argv: readonly string[]): Promise<CliResult> {
    const environment = { TINSMITH_SERVER: this.#admin, TINSMITH_TOKEN_FILE: join(this.folder, 'admin.token') };
    return runCliProcess(undefined, argv, { environment });
  }

  /** What it gives its agents over their authenticated connection: the key that its library signs with. It must be down. */
  async libraryKey(): Promise<string> {
    await using opened = await openSqliteStore({ path: join(this.folder, 'tinsmith.db'), clock: now });
    const library = await openImageLibrary({ folder: join(this.folder, 'library'), store: opened.store, clock: now });
    return library.publicKey;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const running = this.#running;
    if (running === undefined) return;
    const exited = once(running.child, 'close');
    running.child.kill('SIGKILL');
    await exited;
  }
}
