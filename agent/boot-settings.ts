import { BOOT_PARAMETERS, parseKernelCommandLine } from '#proto/boot-parameters.ts';
import { TinsmithError } from '#proto/errors.ts';

/** What the boot script told this machine. */
export interface BootSettings {
  /** `host:port` of the agents' gRPC listener. */
  readonly server: string;
  /** Base URL of the machine-facing HTTP listener. */
  readonly http: string;
  /** A secret. */
  readonly token: string;
  /** SHA-256 of the CA's DER, lower-case hex. */
  readonly ca: string;
  readonly mac: string;
  readonly giveUpMs: number;
  /** Folder in memory for the identity and the power request. */
  readonly runDir: string;
}

const DEFAULT_GIVE_UP_SECONDS = '600';

/**
 * Reads the kernel command line; an environment variable (`TINSMITH_SERVER`, `_HTTP`, `_TOKEN`, `_CA`, `_MAC`, `_GIVEUP`,
 * `_RUN_DIR`) beats it. Throws `usage` that names everything that is missing or malformed; never the token.
 */
export function readBootSettings(commandLine: string, environment: NodeJS.ProcessEnv): BootSettings {
  const parameters = parseKernelCommandLine(commandLine);
  const read = (name: keyof typeof BOOT_PARAMETERS): string =>
    environment[`TINSMITH_${name.toUpperCase()}`] ?? parameters.get(BOOT_PARAMETERS[name]) ?? '';
  const giveUp = read('giveUp') || DEFAULT_GIVE_UP_SECONDS;
  const settings = {
    server: read('server'),
    http: read('http').replace(/\/+$/, ''),
    token: read('token'),
    ca: read('ca').toLowerCase(),
    mac: read('mac').toLowerCase().replaceAll('-', ':'),
    giveUpMs: Number(giveUp) * 1000,
    runDir: environment['TINSMITH_RUN_DIR'] ?? '/run/tinsmith',
  };
  const faults = [
    /^[^\s/]+:\d{1,5}$/.test(settings.server) ? '' : `${BOOT_PARAMETERS.server}=host:port`,
    /^http:\/\/[^\s]+$/.test(settings.http) ? '' : `${BOOT_PARAMETERS.http}=http://host:port`,
    settings.token === '' ? `${BOOT_PARAMETERS.token}=<boot token>` : '',
    /^[0-9a-f]{64}$/.test(settings.ca) ? '' : `${BOOT_PARAMETERS.ca}=<SHA-256 of the server's ca.der>`,
    /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(settings.mac) ? '' : `${BOOT_PARAMETERS.mac}=<MAC>`,
    /^\d{1,7}$/.test(giveUp) ? '' : `${BOOT_PARAMETERS.giveUp}=<seconds>`,
  ].filter((fault) => fault !== '');
  if (faults.length > 0) {
    throw new TinsmithError('usage', `cannot start: the kernel command line lacks a valid ${faults.join(', ')}`);
  }
  return settings;
}
