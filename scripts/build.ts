/**
 * `scripts/build.sh [all|agent|initramfs|test-os|archive|debian]...`: builds into build/ what is not fresh, and says how long it took and
 * how large it became. TINSMITH_COMPRESSION (default zstd:12) is the initramfs' compression; zstd:19, which
 * `tinsmith initramfs build` uses, takes a minute or two more and saves 4 MB.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { buildAgentExecutable } from '#images/agent/agent-executable.ts';
import { buildInitramfs } from '#images/initramfs/build-initramfs.ts';
import { parseCompression } from '#images/initramfs/compression.ts';
import { buildArchiveSystem } from '#images/test-os/archive-system.ts';
import { buildBottlerocketLike } from '#images/test-os/bottlerocket-like.ts';
import { buildDebianImage } from '#images/test-os/debian-image.ts';
import type { TestSystemOptions } from '#images/test-os/guest-system.ts';
import { buildTestOs } from '#images/test-os/test-os.ts';

const root = join(import.meta.dirname, '..');
const cacheDirectory = join(root, '.cache', 'debs');
const log = (line: string): void => console.log(`  ${line}`);

const TARGETS = {
  agent: buildAgents,
  initramfs: buildBootEnvironment,
  'test-os': buildTestSystems,
  archive: buildArchives,
  debian: buildDebian,
};

async function buildAgents(): Promise<void> {
  for (const architecture of ['x64', 'arm64'] as const) {
    await step(`agent ${architecture}`, async () => {
      const { file, wasFresh } = await buildAgentExecutable({ root, architecture, log });
      return { files: [file], wasFresh };
    });
  }
}

async function buildBootEnvironment(): Promise<void> {
  const agentFile = join(root, 'build/agent/tinsmith-agent-x64');
  if ((await stat(agentFile).catch(() => undefined)) === undefined) await buildAgents();
  await step('initramfs', async () => {
    const outDirectory = join(root, 'build/initramfs');
    const compression = process.env['TINSMITH_COMPRESSION'] ?? 'zstd:12';
    const files = ['vmlinuz', 'initramfs', 'localboot.efi', 'manifest.json'].map((name) => join(outDirectory, name));
    const key = await inputKey([agentFile, join(root, 'images/initramfs'), join(root, 'images/packages')], compression);
    return once(files, key, async () => {
      const options = { outDirectory, cacheDirectory, agentFile, architecture: 'x64' } as const;
      await buildInitramfs({ ...options, compression: parseCompression(compression), log });
    });
  });
}

async function buildTestSystems(): Promise<void> {
  await testSystem('test-os', buildTestOs);
  await testSystem('bottlerocket-like', buildBottlerocketLike);
}

async function buildArchives(): Promise<void> {
  const names = ['archive-root.tar', 'archive-boot.tar'].flatMap((name) => [name, `${name}.zst`]);
  await testSystem('archive', buildArchiveSystem, names);
}

async function buildDebian(): Promise<void> {
  await testSystem('debian-12', buildDebianImage);
}

/** `names` are the files that it makes. */
async function testSystem(
  name: string,
  build: (options: TestSystemOptions) => Promise<string>,
  names: readonly string[] = ['.img', '.img.gz', '.img.zst'].map((ending) => `${name}${ending}`),
): Promise<void> {
  await step(name, async () => {
    const outDirectory = join(root, 'build/test-os');
    const files = names.map((file) => join(outDirectory, file));
    const key = await inputKey([join(root, 'images/test-os'), join(root, 'images/packages')], name);
    return once(files, key, async () => {
      await build({ outDirectory, cacheDirectory, log });
    });
  });
}

interface StepResult {
  readonly files: readonly string[];
  readonly wasFresh: boolean;
}

async function step(title: string, run: () => Promise<StepResult>): Promise<void> {
  console.log(`== ${title}`);
  const start = performance.now();
  const { files, wasFresh } = await run();
  for (const file of files) log(`${relative(root, file)}  ${((await stat(file)).size / 1e6).toFixed(1)} MB`);
  console.log(wasFresh ? '  is fresh' : `  built in ${((performance.now() - start) / 1000).toFixed(1)} s`);
}

/** Builds unless all files are there and the key of their inputs, kept beside the first, is the same. */
async function once(files: readonly string[], key: string, build: () => Promise<void>): Promise<StepResult> {
  const keyFile = `${files[0] ?? ''}.inputs`;
  const facts = await Promise.all(files.map((file) => stat(file).catch(() => undefined)));
  const isThere = facts.every((fact) => fact !== undefined);
  if (isThere && (await readFile(keyFile, 'utf8').catch(() => '')) === key) return { files, wasFresh: true };
  await build();
  await writeFile(keyFile, key);
  return { files, wasFresh: false };
}

/** One hash over files, and over all files of folders except tests. */
async function inputKey(paths: readonly string[], facts: string): Promise<string> {
  const hash = createHash('sha256').update(facts);
  for (const path of paths) {
    const files = (await stat(path)).isDirectory() ? await filesOf(path) : [path];
    for (const file of files) {
      hash.update(relative(root, file));
      hash.update(await readFile(file));
    }
  }
  return `${hash.digest('hex')}\n`;
}

async function filesOf(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && !entry.name.endsWith('.test.ts'));
  return files.map((entry) => join(entry.parentPath, entry.name)).toSorted();
}

const wanted = process.argv.slice(2);
for (const name of wanted) {
  if (name === 'all' || Object.hasOwn(TARGETS, name)) continue;
  console.error(`cannot build "${name}": give all, ${Object.keys(TARGETS).join(', ')}`);
  process.exit(64);
}
for (const [name, build] of Object.entries(TARGETS)) {
  if (wanted.length === 0 || wanted.includes('all') || wanted.includes(name)) await build();
}
