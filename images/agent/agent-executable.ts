/**
 * Packs the agent into one executable: esbuild bundles it to one CommonJS file, `pkg --sea` puts that into a Node binary.
 *
 * What agent code must know:
 * - No top-level `await` in what `agent/main.ts` imports: the bundle is CommonJS, which single executables need on Node 24.
 * - `import.meta.url` is the executable's own URL: files beside the source do not exist there.
 * - A worker thread is a file whose name ends in `-worker.ts`. It is bundled by itself and lies inside the executable:
 *     isSea() ? new Worker(getAsset('hash-worker.js', 'utf8'), { eval: true }) : new Worker(new URL('./hash-worker.ts', import.meta.url))
 *   with `isSea` and `getAsset` of `node:sea`.
 * - The V8 flags in EXEC_ARGV hold for the agent only; NODE_OPTIONS is ignored.
 */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { TinsmithError } from '#proto/errors.ts';
import { runProgram, tryProgram } from '../packages/run-program.ts';
import { trimIcu } from './trim-icu.ts';
import { trimTypeScript } from './trim-typescript.ts';

export type AgentArchitecture = 'x64' | 'arm64';

export interface AgentExecutableOptions {
  /** The repository. */
  readonly root: string;
  readonly architecture: AgentArchitecture;
  /** Default: `build/agent/tinsmith-agent-<architecture>`. */
  readonly outFile?: string;
  /** Default: `agent/main.ts`. */
  readonly entryPoint?: string;
  readonly log?: (line: string) => void;
}

export interface AgentExecutable {
  readonly file: string;
  readonly wasFresh: boolean;
}

/**
 * A small young generation keeps a stream of messages from growing the process by 100 MB and more. It has its size from the
 * start: growing to it would be half a dozen collections before the first action.
 */
const EXEC_ARGV: readonly string[] = ['--min-semi-space-size=8', '--max-semi-space-size=8', '--max-old-space-size=192'];

/** What the bundle is started by and cached with: beside this file, plain JavaScript. */
const STARTER = 'start-bundle.cjs';
const CACHE_MAKER = 'make-code-cache.cjs';

/**
 * Builds the executable unless it is there and nothing that it is made of has changed.
 * @throws TinsmithError `command_failed` when a program of the build fails, `checksum_mismatch` for a damaged base binary.
 */
export async function buildAgentExecutable(options: AgentExecutableOptions): Promise<AgentExecutable> {
  const { root, architecture, log } = options;
  const file = resolve(root, options.outFile ?? `build/agent/tinsmith-agent-${architecture}`);
  const working = join(root, '.cache', 'agent', `${basename(file)}.${process.pid}`);
  await rm(working, { recursive: true, force: true });
  await mkdir(working, { recursive: true });
  try {
    const version = await baseVersion(root);
    const assets = await bundle(options, working);
    const key = await inputKey(working, { version, architecture });
    if ((await readFile(`${file}.inputs`, 'utf8').catch(() => '')) === key) return { file, wasFresh: true };

    log?.(`packing ${basename(file)} on Node ${version}`);
    const base = await slimBase({ root, version, architecture, ...(log === undefined ? {} : { log }) });
    const home = await seedPackager(working, { version, architecture, base });
    const bundled = {
      'main.js': join(working, 'main.js'),
      'main.cache': await codeCache(working, { architecture, base }),
    };
    const target = {
      nodeRange: `node${version}`,
      platform: 'linux',
      arch: architecture,
      output: join(working, 'agent'),
    };
    const seaConfig = { execArgv: EXEC_ARGV, execArgvExtension: 'none', assets: { ...assets, ...bundled } };
    await runProgram(
      [
        process.execPath,
        fileURLToPath(import.meta.resolve('./run-packager.ts')),
        JSON.stringify({ entry: join(import.meta.dirname, STARTER), target, seaConfig }),
      ],
      { cwd: working, env: { ...process.env, HOME: home, NODE_OPTIONS: '' } },
    );
    await mkdir(dirname(file), { recursive: true });
    await chmod(join(working, 'agent'), 0o755);
    await rename(join(working, 'agent'), file);
    await writeFile(`${file}.inputs`, key);
    return { file, wasFresh: false };
  } finally {
    await rm(working, { recursive: true, force: true });
  }
}

/** The agent runs on the very version that the server and the tests run on. */
async function baseVersion(root: string): Promise<string> {
  const text = await readFile(join(root, 'node_modules', 'node', 'package.json'), 'utf8');
  const version = /"version":\s*"([\d.]+)"/.exec(text)?.[1];
  if (version === undefined)
    throw new TinsmithError('invalid_input', 'cannot pack the agent: node_modules/node is damaged; run npm ci');
  return version;
}

/** Bundles the agent and its worker threads into `working`; returns the workers as assets. */
async function bundle(options: AgentExecutableOptions, working: string): Promise<Readonly<Record<string, string>>> {
  const entry = resolve(options.root, options.entryPoint ?? 'agent/main.ts');
  const names = await readdir(dirname(entry), { recursive: true });
  const workers = names.filter((name) => name.endsWith('-worker.ts')).map((name) => join(dirname(entry), name));
  const shared = {
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    legalComments: 'none',
    logLevel: 'silent',
    absWorkingDir: options.root,
    define: {
      'import.meta.url': 'tinsmithBundleUrl',
      'import.meta.dirname': '__dirname',
      'import.meta.filename': '__filename',
    },
    banner: { js: "const tinsmithBundleUrl = require('node:url').pathToFileURL(process.execPath).href;" },
  } as const;
  await build({ ...shared, entryPoints: [entry], outfile: join(working, 'main.js') });
  const assets: Record<string, string> = {};
  for (const worker of workers) {
    const outfile = join(working, basename(worker).replace(/\.ts$/, '.js'));
    await build({ ...shared, entryPoints: [worker], outfile });
    assets[basename(outfile)] = outfile;
  }
  return assets;
}

/** V8's compiled form of the bundle. Empty for an architecture whose programs do not run here. Returns the file. */
async function codeCache(
  working: string,
  { architecture, base }: { architecture: AgentArchitecture; base: string },
): Promise<string> {
  const file = join(working, 'main.cache');
  if (architecture !== process.arch) await writeFile(file, '');
  else await runProgram([base, ...EXEC_ARGV, join(import.meta.dirname, CACHE_MAKER), join(working, 'main.js'), file]);
  return file;
}

/** Everything that decides about the executable's bytes, as one hash. */
async function inputKey(working: string, facts: { version: string; architecture: string }): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify([facts, EXEC_ARGV, (await readdir(working)).toSorted()]));
  for (const name of (await readdir(working)).toSorted()) hash.update(await readFile(join(working, name)));
  for (const name of ['agent-executable.ts', 'run-packager.ts', ...TRIMMERS, STARTER, CACHE_MAKER])
    hash.update(await readFile(join(import.meta.dirname, name)));
  return `${hash.digest('hex')}\n`;
}

/** What the base binary is made with. */
const TRIMMERS = ['trim-icu.ts', 'trim-typescript.ts'] as const;

interface BaseFacts {
  readonly version: string;
  readonly architecture: AgentArchitecture;
}

/**
 * A Node binary without symbols, other languages' data and the TypeScript compiler. It must be stripped before anything is injected:
 * stripping an injected one breaks it.
 */
async function slimBase(facts: BaseFacts & { root: string; log?: (line: string) => void }): Promise<string> {
  const { root, version, architecture, log } = facts;
  const hash = createHash('sha256');
  for (const name of TRIMMERS) hash.update(await readFile(join(import.meta.dirname, name)));
  const recipe = hash.digest('hex').slice(0, 8);
  const file = join(root, '.cache', 'node-base', `node-${version}-${architecture}-${recipe}`);
  if ((await tryProgram(['test', '-s', file])).exitCode === 0) return file;
  const working = `${file}.${process.pid}`;
  await mkdir(dirname(file), { recursive: true });
  if (architecture === process.arch) await copyFile(join(root, 'node_modules', 'node', 'bin', 'node'), working);
  else await downloadBase({ ...facts, working });
  await chmod(working, 0o755);
  await stripSymbols(working, facts);
  const binary = await readFile(working);
  const { removed } = trimIcu(binary);
  if (removed === 0) log?.('this Node carries its language data in a way that is not known here: they stay in');
  if (trimTypeScript(binary) === 0) log?.('this Node carries no TypeScript compiler that is known here');
  await writeFile(working, binary);
  // What an agent needs of it must still work; another architecture's binary has the same data.
  if (architecture === process.arch) await runProgram([working, '-e', LANGUAGE_CHECK]);
  await rename(working, file);
  return file;
}

async function stripSymbols(file: string, { architecture, log }: Parameters<typeof slimBase>[0]): Promise<void> {
  const foreign = architecture === 'arm64' ? 'aarch64-linux-gnu-strip' : 'x86_64-linux-gnu-strip';
  const strip = architecture === process.arch ? 'strip' : foreign;
  const isThere = (await tryProgram(['sh', '-c', `command -v ${strip}`])).exitCode === 0;
  if (isThere) await runProgram([strip, '-s', file]);
  else log?.(`${strip} is not installed: the ${architecture} agent is 15 % larger than it must be`);
}

const LANGUAGE_CHECK = `
  const assert = require('node:assert/strict');
  assert.equal(new Intl.DateTimeFormat('en-US', { timeZone: 'UTC' }).format(0), '1/1/1970');
  assert.equal((1234.5).toLocaleString('de'), '1,234.5');
  assert.equal(new URL('http://b\u00fccher.example/').host, 'xn--bcher-kva.example');
  assert.equal('\u00e4'.normalize('NFD').length, 2);
  assert.ok(/\\p{L}/u.test('\u0436'));
`;

/** Gets another architecture's Node from the registry and checks it against the registry's own integrity value. */
async function downloadBase({
  root,
  version,
  architecture,
  working,
}: BaseFacts & { root: string; working: string }): Promise<void> {
  const name = `node-linux-${architecture}@${version}`;
  const folder = `${working}.pack`;
  await mkdir(folder, { recursive: true });
  try {
    const expected = (await runProgram(['npm', 'view', name, 'dist.integrity'], { cwd: root })).trim();
    await runProgram(['npm', 'pack', name, '--silent', '--pack-destination', folder], { cwd: root });
    const [tarball = ''] = await readdir(folder);
    const found = `sha512-${createHash('sha512')
      .update(await readFile(join(folder, tarball)))
      .digest('base64')}`;
    if (found !== expected) {
      throw new TinsmithError(
        'checksum_mismatch',
        `cannot use ${name}: its integrity is ${found}, the registry says ${expected}`,
      );
    }
    await runProgram(['tar', '-xzf', join(folder, tarball), '-C', folder, 'package/bin/node']);
    await rename(join(folder, 'package/bin/node'), working);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Lays the base binary where pkg keeps what it has downloaded and checked (`<home>/.pkg-cache/sea`), so that it downloads
 * nothing. The `.ok` files are its marks for "checked"; the check was npm's. Returns the home folder to run pkg with.
 */
async function seedPackager(
  working: string,
  { version, architecture, base }: BaseFacts & { base: string },
): Promise<string> {
  const home = join(working, 'home');
  const cache = join(home, '.pkg-cache', 'sea');
  const title = `node-v${version}-linux-${architecture}`;
  const folder = join(cache, title, 'bin');
  await mkdir(folder, { recursive: true });
  await writeFile(join(cache, `${title}.tar.gz`), '');
  await writeFile(join(cache, `${title}.tar.gz.ok`), '');
  await copyFile(base, join(folder, 'node'));
  await chmod(join(folder, 'node'), 0o755);
  await writeFile(join(folder, 'node.ok'), '');
  return home;
}
