import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { uptime } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { BOOT_PARAMETERS } from '#proto/boot-parameters.ts';
import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import type { PowerRequest } from './actions/action-context.ts';
import { runActionWithPolicy } from './actions/run-action.ts';
import { runAgentProcess } from './agent-process.ts';
import { type BootSettings, readBootSettings } from './boot-settings.ts';
import { linuxMachine } from './machine/linux-machine.ts';
import { setSystemClock } from './machine/system-clock.ts';
import { AGENT_VERSION } from './version.ts';

const HELP = `tinsmith-agent ${AGENT_VERSION}: runs on a machine that Tinsmith provisions, as root, started by its init.

Usage: tinsmith-agent [--version] [--help]

It reads the kernel command line; a variable of the environment beats it:
  ${BOOT_PARAMETERS.server}  TINSMITH_SERVER   host:port of the server's gRPC listener
  ${BOOT_PARAMETERS.http}    TINSMITH_HTTP     base URL of its HTTP listener
  ${BOOT_PARAMETERS.token}   TINSMITH_TOKEN    single-use boot token
  ${BOOT_PARAMETERS.ca}      TINSMITH_CA       SHA-256 of the server's CA certificate
  ${BOOT_PARAMETERS.mac}     TINSMITH_MAC      MAC of the interface that booted
  ${BOOT_PARAMETERS.giveUp}  TINSMITH_GIVEUP   seconds without a server after which it ends, default 600
                   TINSMITH_RUN_DIR  folder in memory, default /run/tinsmith
                   TINSMITH_SET_CLOCK  1: set a clock that is five minutes off to the server's (the boot environment does)

Exit codes:
  0   the machine is to do what the file "power" in that folder says: reboot, poweroff or kexec
  69  the server was not reached for too long, or does not take this machine: restart it
  *   anything else: start the agent again
`;

/** How long a refusal stays readable on the console before the machine restarts. */
const REFUSED_PAUSE_MS = 30_000;

/** The reason that a signal to this process gives to everything that runs. */
const STOPPED = new TinsmithError('cancelled', 'the agent was told to stop');

async function main(argv: readonly string[], environment: NodeJS.ProcessEnv): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { version: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.version === true) return print(`tinsmith-agent ${AGENT_VERSION}\n`);
  if (values.help === true) return print(HELP);
  const settings = readBootSettings(await readFile('/proc/cmdline', 'utf8'), environment);
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const machine = linuxMachine(settings.runDir);
  const signal = stopSignal();
  try {
    const options = { settings, bootId, machine, runAction: runActionWithPolicy, uptime, say, signal };
    // On a system that is not ours the clock is not ours to set.
    const maySetClock = environment['TINSMITH_SET_CLOCK'] === '1';
    const power = await runAgentProcess(maySetClock ? { ...options, setClock: setSystemClock } : options);
    await machine.releaseMounts();
    await requestPower(settings.runDir, power);
    say(`done: ${power}`);
    return 0;
  } catch (thrown) {
    return endedBy(TinsmithError.from(thrown), settings, signal);
  }
}

async function endedBy(error: TinsmithError, settings: BootSettings, signal: AbortSignal): Promise<number> {
  say(error.message);
  if (error.code === 'unavailable') return ERROR_CODES.unavailable.exit;
  // Only another boot brings another token.
  if (error.code === 'unauthenticated') {
    await pause(Math.min(settings.giveUpMs, REFUSED_PAUSE_MS), signal);
    return ERROR_CODES.unavailable.exit;
  }
  if (error.cause instanceof Error) say(error.cause.stack ?? error.cause.message);
  return ERROR_CODES[error.code].exit;
}

async function pause(timeoutMs: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(timeoutMs, undefined, { signal });
  } catch {
    // Told to stop: the pause is over.
  }
}

/** The init reads the file when this process has ended: it is whole or not there. */
async function requestPower(runDir: string, power: PowerRequest): Promise<void> {
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  const path = join(runDir, 'power');
  await writeFile(`${path}.next`, `${power}\n`, { mode: 0o600 });
  await rename(`${path}.next`, path);
}

function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => stopping.abort(STOPPED));
  return stopping.signal;
}

/** To the machine's console, for whoever stands in front of it. */
function say(line: string): void {
  print(`tinsmith-agent: ${line}\n`);
}

function print(text: string): 0 {
  process.stdout.write(text);
  return 0;
}

main(process.argv.slice(2), process.env).then(
  (code) => process.exit(code),
  (thrown: unknown) => {
    const error = TinsmithError.from(thrown, 'usage');
    process.stderr.write(`tinsmith-agent: ${error.message}\n`);
    process.exit(ERROR_CODES[error.code].exit);
  },
);
