import { execFile, execFileSync } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '#proto/errors.ts';
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

/** By trying: a container may list loop devices and let nobody have one, or none of their settings. */
function whyNone(): string | false {
  if (process.getuid?.() !== 0) return 'loop devices need root';
  const folder = mkdtempSync(join(tmpdir(), 'tinsmith-loop-'));
  try {
    const file = join(folder, 'disk');
    writeFileSync(file, Buffer.alloc(1 << 20));
    const path = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8', stdio: 'pipe' }).trim();
    try {
      accessSync(`/sys/block/${basename(path)}/queue/iostats`, constants.W_OK);
      accessSync(path, constants.R_OK | constants.W_OK);
    } finally {
      execFileSync('losetup', ['--detach', path]);
    }
    return false;
  } catch (thrown) {
    return `there are no loop devices here: ${messageOf(thrown)}`;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
