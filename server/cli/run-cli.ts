import { ERROR_CODES, TinsmithError } from '#proto/errors.ts';
import { clientFor } from './api-options.ts';
import type { CommandContext, CommandInput, CommandParts } from './command.ts';
import { commandsOf, findCommand, parseCommandLine } from './command-line.ts';
import { listCommands } from './commands.ts';
import { commandHelp, groupHelp, overview } from './help-text.ts';
import { problemLine } from './problem-lines.ts';
import { printable, type Terminal } from './terminal.ts';

export interface CliWorld {
  readonly out: Terminal;
  readonly parts: CommandParts;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted when the user wants to stop. */
  readonly signal: AbortSignal;
  readonly now: () => Date;
  readStandardInput(): Promise<string>;
  /** Asks who sits at the terminal; absent: nobody does. */
  readonly ask?: (question: string) => Promise<string>;
}

/** Runs the command that `argv` names (without program and script) and resolves to the exit code; failures are printed. */
export async function runCli(argv: readonly string[], world: CliWorld): Promise<number> {
  try {
    return await runCommand(argv, world);
  } catch (thrown) {
    return reportFailure(thrown, world);
  }
}

async function runCommand(argv: readonly string[], world: CliWorld): Promise<number> {
  const { out, parts, environment, signal } = world;
  const commands = listCommands(parts.settings);
  const [first] = argv;
  if (first === '--version') return runCommand(['version', ...argv.slice(1)], world);
  if (first === undefined || first === '--help' || first === '-h') {
    out.line(overview(commands, parts.version));
    return 0;
  }
  const below = argv.length > 1 ? commandsOf(commands, argv) : [];
  if (below.length > 0) {
    out.line(groupHelp(first, below));
    return 0;
  }
  const { command, rest } = findCommand(commands, argv);
  const input: CommandInput = parseCommandLine(command, rest);
  if (input.has('help')) {
    out.line(commandHelp(command));
    return 0;
  }
  const context: CommandContext = {
    out,
    parts,
    signal,
    commands,
    now: world.now,
    environment,
    api: clientFor(input, environment, signal),
    readStandardInput: () => world.readStandardInput(),
    ...(world.ask && { ask: world.ask }),
  };
  return command.run(context, input);
}

/** Problems first, each with its place, then one sentence; the exit code comes from the error table. */
function reportFailure(thrown: unknown, { out, signal, environment }: CliWorld): number {
  const error = TinsmithError.from(thrown);
  // Who pressed Ctrl-C knows why it ended; Node's timers and questions say it by an error of their own.
  const isStop = error.code === 'cancelled' || (thrown instanceof Error && thrown.name === 'AbortError');
  if (signal.aborted && isStop) return ERROR_CODES.cancelled.exit;
  for (const problem of error.problems) out.note(problemLine(problem));
  out.note(`error: ${printable(error.message)}`);
  if (error.code === 'internal' || environment['TINSMITH_DEBUG'] === '1') {
    out.note(printable(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)));
  }
  return ERROR_CODES[error.code].exit;
}
