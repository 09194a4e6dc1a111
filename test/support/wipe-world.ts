import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { open, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ActionContext } from '#agent/actions/action-context.ts';
import { type ActionRunResult, runActionWithPolicy } from '#agent/actions/run-action.ts';
import { type FolderMachine, type FolderMachineOptions, folderMachine } from '#agent/machine/folder-machine.ts';
import type { Machine, ProgramCall } from '#agent/machine/machine.ts';
import { actionContext } from './action-context.ts';

export const MIB = 1 << 20;
export const WIPE_DISK_BYTES = 24 * MIB;
export const SATA_DISK = '/dev/sda';
export const NVME_DISK = '/dev/nvme0n1';

/** Program, or program and first word → what it does to the disk, and what it says. Others do not exist. */
type Programs = Readonly<Record<string, (argv: readonly string[]) => Promise<{ exitCode?: number; text?: string }>>>;

/** A folder for machines, and what the action said and reported. */
export class WipeWorld implements Disposable {
  readonly lines: string[] = [];
  readonly progress: number[] = [];
  readonly #folder = mkdtempSync(join(tmpdir(), 'tinsmith-wipe-'));

  machine(programs: Programs, changes: Partial<FolderMachineOptions> = {}): FolderMachine {
    const run = async (call: ProgramCall) => {
      const [file = '', word = ''] = call.argv;
      const program = programs[`${file} ${word}`] ?? programs[file];
      const { exitCode = 0, text = '' } = (await program?.(call.argv)) ?? { exitCode: 127, text: `${file}: not found` };
      for (const line of text.split('\n')) call.onLine?.('stdout', line);
      return { exitCode, lastLines: text.split('\n') };
    };
    const disks = {
      '/dev/sda1': MIB,
      '/dev/sdb': WIPE_DISK_BYTES,
      [SATA_DISK]: WIPE_DISK_BYTES,
      [NVME_DISK]: WIPE_DISK_BYTES,
    };
    return folderMachine({ folder: this.#folder, disks, run, ...changes });
  }

  async wipe(
    machine: Machine,
    environment: Record<string, string>,
    changes: Partial<ActionContext> = {},
  ): Promise<ActionRunResult> {
    const context = actionContext(machine, {
      log: (_stream, text) => this.lines.push(text),
      progress: ({ done, total = 1 }) => this.progress.push(done / total),
      ...changes,
    });
    return runActionWithPolicy({ builtIn: 'wipe', environment, command: [], timeoutMs: 0, retries: 0 }, context);
  }

  get log(): string {
    return this.lines.join('\n');
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Random bytes on the whole disk. */
export async function fillDisk(machine: FolderMachine, device: string): Promise<void> {
  const made = await machine.openDisk(device, { signal: new AbortController().signal });
  await made[Symbol.asyncDispose]();
  await writeFile(machine.diskFile(device), randomBytes(WIPE_DISK_BYTES));
}

export async function isZeroDisk(machine: FolderMachine, device: string): Promise<boolean> {
  return (await readFile(machine.diskFile(device))).equals(Buffer.alloc(WIPE_DISK_BYTES));
}

/** Makes zeros as a disk does that is told to; nothing happens to what is kept. */
export async function clearDisk(
  machine: FolderMachine,
  device: string,
  keep = { from: WIPE_DISK_BYTES, to: WIPE_DISK_BYTES },
): Promise<void> {
  await using file = await open(machine.diskFile(device), 'r+');
  await file.write(Buffer.alloc(keep.from), 0, keep.from, 0);
  await file.write(Buffer.alloc(WIPE_DISK_BYTES - keep.to), 0, WIPE_DISK_BYTES - keep.to, keep.to);
}
