import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { cleanAtExit } from './lab/clean-at-exit.ts';

/** A file as a block device, with its partitions. */
export interface LoopDevice extends AsyncDisposable {
  readonly path: string;
}

/** Why there are none here; false: there are. */
export const noLoopDevices: string | false = whyNone();

export async function loopDevice(file: string): Promise<LoopDevice> {
  const { stdout } = await promisify(execFile)('losetup', ['--find', '--show', '--partscan', file]);
  const path = stdout.trim();
  // A test that is ended by a signal disposes of nothing.
  const detach = cleanAtExit(() => execFileSync('losetup', ['--detach', path]));
  return { path, [Symbol.asyncDispose]: async () => detach() };
}

function whyNone(): string | false {
  if (process.getuid?.() !== 0) return 'loop devices need root';
  try {
    execFileSync('losetup', ['--find'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'there are no loop devices here';
  }
}
