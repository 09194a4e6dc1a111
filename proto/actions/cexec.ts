import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  invalidParam,
  optionalBoolean,
  optionalText,
  requiredDevice,
  requiredText,
} from './environment.ts';
import { parseFileSystem } from './writefile.ts';

/** Run programs, usually inside the installed system. */
export interface CexecParams {
  /** Partition. */
  readonly device: string;
  readonly fileSystem: string;
  /** Programs with their arguments, run one after the other until one fails. */
  readonly commands: readonly (readonly string[])[];
  /** Run inside the mounted file system as root directory; otherwise in the agent's own, with the target mounted. */
  readonly chroot: boolean;
  /** Give the target the agent's resolv.conf while the programs run. */
  readonly updateResolvConf: boolean;
  /** What the programs get as environment, beside PATH. */
  readonly environment: Readonly<Record<string, string>>;
}

export const cexec: ActionDeclaration<CexecParams> = {
  summary: 'Run commands, with chroot inside the installed system.',
  // Nobody knows what a foreign command does when it is run a second time.
  repeatable: false,
  fixes: [
    'A `CHROOT` that says no (false, 0, no) means no.',
    'Doubled spaces, a space after `;` and a trailing `;` in `CMD_LINE` do no harm.',
    '`JSON_OUTPUT` is read as well as the misspelt name that the published action reads.',
    'A chroot has /dev/pts, EFI variables and a /run of its own; a mount that an earlier action made is used again.',
  ],
  environment: {
    BLOCK_DEVICE: 'Partition with the root file system, such as /dev/sda2.',
    FS_TYPE: 'Its file system, such as ext4.',
    CMD_LINE:
      'What to run. Without DEFAULT_INTERPRETER: programs separated by ";", arguments by spaces, no quoting. With it: one text for it.',
    DEFAULT_INTERPRETER: 'Program with options that gets CMD_LINE as its last argument, such as "/bin/sh -c".',
    CHROOT: 'y or any other text that does not say no: run inside the file system.',
    UPDATE_RESOLV_CONF: 'true: the programs can resolve names.',
    JSON_OUTPUT: 'Accepted; the log has one format.',
    JSON_OUTOUT: 'Accepted: the published misspelling of JSON_OUTPUT.',
  },
  parse: parseCexec,
};

const OWN_NAMES = new Set(Object.keys(cexec.environment));

function parseCexec(environment: Environment, command: readonly string[]): CexecParams {
  optionalBoolean(environment, 'JSON_OUTPUT');
  optionalBoolean(environment, 'JSON_OUTOUT');
  return {
    device: requiredDevice(environment, 'BLOCK_DEVICE', '/dev/sda2'),
    fileSystem: parseFileSystem(environment),
    commands: command.length > 0 ? [command] : parseCommands(environment),
    chroot: parseChroot(environment),
    updateResolvConf: optionalBoolean(environment, 'UPDATE_RESOLV_CONF') ?? false,
    environment: Object.fromEntries(Object.entries(environment).filter(([name]) => !OWN_NAMES.has(name))),
  };
}

function parseCommands(environment: Environment): string[][] {
  const line = requiredText(environment, 'CMD_LINE', 'grub-install /dev/sda; update-grub');
  const interpreter = optionalText(environment, 'DEFAULT_INTERPRETER');
  if (interpreter !== undefined) return [[...words(interpreter), line]];
  // Doubled spaces, a space after ";" and a trailing ";" made the published action run empty names; they are harmless here.
  const commands = line
    .split(';')
    .map(words)
    .filter((command) => command.length > 0);
  if (commands.length === 0) throw invalidParam('CMD_LINE', line, 'name at least one program');
  return commands;
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

/** Any text meant yes in the published action, even "false"; who writes no means no. */
function parseChroot(environment: Environment): boolean {
  const text = optionalText(environment, 'CHROOT')?.trim().toLowerCase();
  return text !== undefined && !['', '0', 'f', 'false', 'n', 'no', 'off'].includes(text);
}
