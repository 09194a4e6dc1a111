import { type ChildProcess, spawn } from 'node:child_process';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ConsoleLog, type WaitOptions } from './console-log.ts';
import { patientOutput } from './patient-output.ts';
import { OVMF_VARIABLES, qemuArguments, type VmOptions, type VmPlace } from './qemu-arguments.ts';
import { QmpClient } from './qmp-client.ts';

/** What a machine needs of its lab. */
export interface VmLab {
  readonly namespace: string;
  readonly directory: string;
  readonly logDirectory: string;
}

interface PowerOn {
  readonly child: ChildProcess;
  readonly exited: Promise<void>;
  readonly qmp: QmpClient;
}

/** One QEMU machine. It keeps disk, firmware variables and console over power cycles; disposing removes it. */
export class VirtualMachine implements AsyncDisposable {
  readonly options: VmOptions;
  /** Everything the machine has said on its serial port, since it was first powered on. */
  readonly console: ConsoleLog;
  readonly #lab: VmLab;
  readonly #place: VmPlace;
  #power: PowerOn | undefined;

  private constructor(lab: VmLab, options: VmOptions, place: VmPlace) {
    const title = options.name ?? options.mac.replaceAll(':', '-');
    this.options = options;
    this.#lab = lab;
    this.#place = place;
    this.console = new ConsoleLog(title, join(lab.logDirectory, `${title}.console.log`));
  }

  /** @param tap a tap of the lab's bridge that is this machine's alone */
  static async create(lab: VmLab, options: VmOptions, tap: string): Promise<VirtualMachine> {
    const place: VmPlace = {
      tap,
      qmpSocket: join(lab.directory, `${tap}.qmp`),
      firmwareVariables: join(lab.directory, `${tap}.vars.fd`),
      accelerator: process.env['TINSMITH_LAB_ACCEL'] === 'kvm' ? 'kvm' : 'tcg',
    };
    if (options.firmware === 'uefi') await copyFile(OVMF_VARIABLES, place.firmwareVariables);
    const vm = new VirtualMachine(lab, options, place);
    if (options.isPoweredOn ?? true) await vm.powerOn();
    return vm;
  }

  get isPoweredOn(): boolean {
    return this.#power !== undefined;
  }

  /** Resolves when the machine is off: the guest switched itself off, or powerOff(). At once when it already is. */
  get exited(): Promise<void> {
    return this.#power?.exited ?? Promise.resolve();
  }

  /** Process id of QEMU while the machine is on. */
  get pid(): number | undefined {
    return this.#power?.child.pid;
  }

  /** Does nothing when the machine is on. @throws Error when QEMU does not start, with what it said. */
  async powerOn(): Promise<void> {
    if (this.#power !== undefined) return;
    const argv = patientOutput(qemuArguments(this.options, this.#place));
    const child = spawn('ip', ['netns', 'exec', this.#lab.namespace, ...argv], { stdio: ['pipe', 'pipe', 'pipe'] });
    let complaints = '';
    child.stdout.on('data', (bytes: Buffer) => this.console.write(bytes));
    child.stderr.on('data', (bytes: Buffer) => (complaints += bytes.toString()));
    child.stdin.on('error', () => {}); // What is typed into a machine that went off is lost, as on a real one.
    const exited = new Promise<void>((resolve) => {
      child.once('error', () => resolve());
      child.once('close', () => resolve());
    });
    try {
      const gone = exited.then(() => {
        throw new Error(`QEMU ended at once: ${complaints.trim()}`);
      });
      const qmp = await Promise.race([QmpClient.connect(this.#place.qmpSocket), gone]);
      gone.catch(() => {}); // Once it is up, its end is told by `exited`.
      this.#power = { child, exited, qmp };
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    const power = this.#power;
    child.once('close', () => {
      if (this.#power === power) this.#power = undefined;
    });
  }

  /** Cuts the power: nothing is flushed, nothing is said. Does nothing when the machine is off. */
  async powerOff(): Promise<void> {
    const power = this.#power;
    if (power === undefined) return;
    power.child.kill('SIGKILL');
    await power.exited;
    await power.qmp[Symbol.asyncDispose]();
  }

  /** The reset button. */
  async reset(): Promise<void> {
    await this.qmp('system_reset');
  }

  /** Any QMP command, for example `query-status`. @throws Error when the machine is off. */
  async qmp(command: string, parameters: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    if (this.#power === undefined) throw new Error(`cannot run ${command}: the machine is off`);
    return this.#power.qmp.execute(command, parameters);
  }

  /** Types into the serial console. */
  type(text: string): void {
    this.#power?.child.stdin?.write(text);
  }

  /** See ConsoleLog.waitFor. */
  async waitForConsole(pattern: RegExp, options: WaitOptions): Promise<RegExpExecArray> {
    return this.console.waitFor(pattern, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerOff();
    await this.console.close();
  }
}
