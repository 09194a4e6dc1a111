import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram, tryProgram } from '#images/packages/run-program.ts';
import type { Lab } from './lab.ts';

/** A person with a key of their own who logs in to machines of a lab, with the system's `ssh`. */
export class SshLogin {
  /** The line for authorized_keys. */
  readonly publicKey: string;
  readonly #lab: Lab;
  readonly #keyFile: string;

  private constructor(lab: Lab, keyFile: string, publicKey: string) {
    this.#lab = lab;
    this.#keyFile = keyFile;
    this.publicKey = publicKey;
  }

  /** Makes a new key in the lab's folder. */
  static async create(lab: Lab, name = 'operator'): Promise<SshLogin> {
    const keyFile = join(lab.directory, `${name}.key`);
    await runProgram(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', `${name}@lab`, '-f', keyFile]);
    return new SshLogin(lab, keyFile, (await readFile(`${keyFile}.pub`, 'utf8')).trim());
  }

  /** Runs a command on a machine and returns what it printed. @throws TinsmithError when it, or the login, fails. */
  async run(target: string, command: string): Promise<string> {
    return this.#lab.run(this.#argv(target, command));
  }

  /** Whether this key opens the machine at all; a machine that does not answer is an error. */
  async isLetIn(target: string): Promise<boolean> {
    const argv = ['ip', 'netns', 'exec', this.#lab.namespace, ...this.#argv(target, 'true')] as const;
    const { exitCode, stderr } = await tryProgram([argv[0], ...argv.slice(1)]);
    if (exitCode === 0) return true;
    if (stderr.includes('Permission denied')) return false;
    throw new Error(`cannot ask ${target} for a login: ${stderr.trim()}`);
  }

  /** The first host key that a machine shows is kept, and must stay the same in this lab. */
  #argv(target: string, command: string): readonly string[] {
    const options = {
      IdentitiesOnly: 'yes',
      BatchMode: 'yes',
      StrictHostKeyChecking: 'accept-new',
      UserKnownHostsFile: join(this.#lab.directory, 'known_hosts'),
      ConnectTimeout: '120',
      LogLevel: 'ERROR',
    };
    const flags = Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`]);
    return ['ssh', '-F', 'none', '-i', this.#keyFile, ...flags, target, command];
  }
}
