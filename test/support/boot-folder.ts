import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildInitramfs } from '#images/initramfs/build-initramfs.ts';
import { PROJECT } from './world.ts';

/** A boot environment of a test's own; goes with its test. */
export interface BootFolder extends AsyncDisposable {
  readonly path: string;
}

/** Builds a boot environment with a folder baked in (`--add`), which `fill` makes. Packed quickly, not small. */
export async function bootFolderWith(fill: (folder: string) => Promise<void>): Promise<BootFolder> {
  const path = await mkdtemp(join(tmpdir(), 'tinsmith-boot-'));
  const added = await mkdtemp(join(tmpdir(), 'tinsmith-add-'));
  try {
    await fill(added);
    await buildInitramfs({
      outDirectory: path,
      cacheDirectory: join(PROJECT, '.cache/debs'),
      agentFile: join(PROJECT, 'build/agent/tinsmith-agent-x64'),
      architecture: 'x64',
      addDirectories: [added],
      compression: { format: 'zstd', level: 3 },
    });
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
  } catch (error) {
    await rm(path, { recursive: true, force: true });
    throw error;
  } finally {
    await rm(added, { recursive: true, force: true });
  }
}
