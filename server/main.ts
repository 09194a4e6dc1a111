#!/usr/bin/env node
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { text } from 'node:stream/consumers';
import { TinsmithError } from '#proto/errors.ts';
import type {
  CommandParts,
  GenerateParts,
  InitramfsRequest,
  InitramfsResult,
  ManifestFile,
  Validation,
} from './cli/command.ts';
import { runCli } from './cli/run-cli.ts';
import { openTerminal } from './cli/terminal.ts';
import { flagOf, readConfig, SETTINGS, variableOf } from './config.ts';

const root = resolve(import.meta.dirname, '..');

process.exitCode = await main();

async function main(): Promise<number> {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, () => stopOrExit(stopping, name));
  // `tinsmith get … | head` closes the pipe: that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 74));
  return runCli(process.argv.slice(2), {
    out: openTerminal(process.stdout, process.stderr, process.env),
    parts: await commandParts(),
    environment: process.env,
    signal: stopping.signal,
    now: () => new Date(),
    readStandardInput: () => text(process.stdin),
    ...(process.stdin.isTTY && process.stderr.isTTY && { ask: (question: string) => ask(question, stopping.signal) }),
  });
}

/** On standard error, so that the answer's question is in no pipe. */
async function ask(question: string, signal: AbortSignal): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(question, { signal });
  } finally {
    terminal.close();
  }
}

/** The first signal asks everything to stop, the second one does not wait for it. */
function stopOrExit(stopping: AbortController, name: 'SIGINT' | 'SIGTERM'): void {
  if (stopping.signal.aborted) process.exit(name === 'SIGINT' ? 130 : 143);
  stopping.abort(new TinsmithError('cancelled', `stopped by ${name}`));
}

/** Large parts of the server are loaded by the commands that need them: `tinsmith get` must start in no time. */
async function commandParts(): Promise<CommandParts> {
  const version = await packageVersion();
  return {
    version,
    settings: Object.entries(SETTINGS).map(([name, setting]) => ({
      flag: flagOf(name),
      variable: variableOf(name),
      type: setting.type,
      fallback: setting.default,
      summary: setting.summary,
    })),
    serve: (flags, signal) => serve(flags, version, signal),
    validate,
    buildInitramfs: buildBootEnvironment,
    generate: generateParts(),
  };
}

async function packageVersion(): Promise<string> {
  const description: unknown = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  if (typeof description === 'object' && description !== null && 'version' in description) {
    return String(description.version);
  }
  throw new TinsmithError('internal', `${join(root, 'package.json')} names no version`);
}

async function serve(
  flags: Readonly<Record<string, string | undefined>>,
  version: string,
  signal: AbortSignal,
): Promise<void> {
  const config = readConfig(flags, process.env);
  const [{ runServer }, { LOG_LEVELS, serverLog }] = await Promise.all([import('./app.ts'), import('./server-log.ts')]);
  const level = config['log.level'];
  if (!LOG_LEVELS.includes(level)) {
    throw new TinsmithError('invalid_input', `the log level is "${level}": use one of ${LOG_LEVELS.join(', ')}`);
  }
  await runServer({ config, version, log: serverLog(level, process.stdout.isTTY) }, signal);
}

/** Everything that can be said about the files alone: what they refer to must be among them. */
async function validate(files: readonly ManifestFile[], actionsMap?: ManifestFile): Promise<Validation> {
  const [{ readActionImages }, { loadManifests }, { planApply }, { bootstrapperProblems }] = await Promise.all([
    import('./manifests/action-images.ts'),
    import('./manifests/load-manifests.ts'),
    import('./manifests/plan-apply.ts'),
    import('./cluster/bootstrapper-problems.ts'),
  ]);
  const actionImages = actionsMap === undefined ? new Map() : readActionImages(actionsMap);
  const loaded = loadManifests(files, actionImages);
  const nothing = { hardware: [], templates: [], workflows: [] };
  const actionTimeoutMs = Number(SETTINGS['action.timeout'].default) * 1000;
  const plan = planApply(loaded, nothing, { actionTimeoutMs, actionImages });
  return {
    problems: [...loaded.problems, ...plan.problems, ...bootstrapperProblems(loaded)],
    warnings: [...loaded.warnings, ...plan.warnings],
    counts: {
      hardware: loaded.hardware.length,
      templates: loaded.templates.length,
      workflows: loaded.workflows.length,
      clusters: loaded.clusters.length,
    },
  };
}

function generateParts(): GenerateParts {
  return {
    schemas: async () => {
      const { combinedSchema, manifestSchemas } = await import('./manifests/manifest-schemas.ts');
      return { combined: combinedSchema(), kinds: manifestSchemas() };
    },
    clusterConfig: async (options) => {
      const { generateClusterConfig } = await import('./manifests/generate-cluster-config.ts');
      return generateClusterConfig(options);
    },
    hardware: async (file) => {
      const { generateHardware } = await import('./manifests/generate-hardware.ts');
      return generateHardware(file);
    },
    templates: async (files, options) => {
      const { generateTemplates } = await import('./cluster/generate-templates.ts');
      return generateTemplates(files, { ...options, metadataPort: Number(SETTINGS['metadata.port'].default) });
    },
  };
}

async function buildBootEnvironment(request: InitramfsRequest, signal: AbortSignal): Promise<InitramfsResult> {
  const { buildInitramfs } = await import('#images/initramfs/build-initramfs.ts');
  const architecture = request.arch === 'arm64' ? 'arm64' : 'x64';
  const built = await buildInitramfs({
    outDirectory: request.out,
    cacheDirectory: join(root, '.cache'),
    agentFile: request.agent ?? join(root, `build/agent/tinsmith-agent-${architecture}`),
    architecture,
    addDirectories: request.add,
    omitTools: request.omit,
    log: (line) => request.report(line),
    signal,
    ...kernelOf(request),
    ...(await compressionOf(request)),
  });
  return {
    files: [
      { path: built.kernelFile, sizeBytes: built.manifest.kernel.sizeBytes },
      { path: built.initramfsFile, sizeBytes: built.manifest.initramfs.sizeBytes },
    ],
  };
}

function kernelOf({ kernel, vmlinuz, modules }: InitramfsRequest) {
  if (vmlinuz !== undefined && modules !== undefined) return { kernel: { vmlinuz, modulesDirectory: modules } };
  return kernel === undefined ? {} : { kernel: { package: kernel } };
}

async function compressionOf({ compression }: InitramfsRequest) {
  if (compression === undefined) return {};
  const { parseCompression } = await import('#images/initramfs/compression.ts');
  return { compression: parseCompression(compression) };
}
