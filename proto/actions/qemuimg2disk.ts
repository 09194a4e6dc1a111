import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  invalidParam,
  optionalInteger,
  optionalSha256,
  optionalText,
  progressIntervalMs,
  requiredDevice,
  requiredUrl,
} from './environment.ts';
import { PROXY_ENVIRONMENT, PROXY_SECRETS, type ProxyParams, parseProxy } from './proxy.ts';

/** Write an image in a format of virtual machines to a disk. Which format it is is seen from the file. */
export interface Qemuimg2diskParams {
  /** http or https; the server has to answer ranges. */
  readonly url: string;
  readonly disk: string;
  /** Of the file, which is then read once more as a whole. */
  readonly sha256?: string;
  readonly retryForMs: number;
  readonly progressEveryMs: number;
  readonly proxy: ProxyParams;
  /** Options of qemu-img that have no meaning here, as given. */
  readonly ignored: readonly string[];
}

export const qemuimg2disk: ActionDeclaration<Qemuimg2diskParams> = {
  summary: 'Write a qcow2, VMDK, VHDX, VHD or VDI image from a URL to a disk; raw ones are streamed as by image2disk.',
  // Every try starts by making the disk unbootable and ends by making it bootable, so a later try heals an earlier one.
  repeatable: true,
  environment: {
    IMG_URL: 'URL of the image (http or https) on a server with ranges; its format is recognised by its content.',
    DEST_DISK: 'Disk to overwrite, such as /dev/sda.',
    IMG_SHA256:
      'SHA-256 of the file; it is then downloaded once more, as a whole, before anything is written (Tinsmith).',
    FORMAT: 'raw or host_device (default): what qemu-img was told to write; a disk is nothing else.',
    EXTRA_ARGS: 'Options of qemu-img convert: those that only change how it works are ignored, others are refused.',
    RETRY_DURATION_MINUTES:
      'Minutes without a single new byte before the download is given up; default 10, 0: no limit (Tinsmith).',
    PROGRESS_INTERVAL_SECONDS: 'Seconds between progress lines in the log; default 3, also for 0 (Tinsmith).',
    ...PROXY_ENVIRONMENT,
  },
  secrets: PROXY_SECRETS,
  parse: parseQemuimg2disk,
};

function parseQemuimg2disk(environment: Environment): Qemuimg2diskParams {
  const format = optionalText(environment, 'FORMAT') ?? 'host_device';
  if (!['raw', 'host_device'].includes(format)) {
    throw invalidParam('FORMAT', format, 'leave it out: it is what is written, and a disk is raw');
  }
  const sha256 = optionalSha256(environment, 'IMG_SHA256');
  return {
    url: requiredUrl(environment, 'IMG_URL', 'http://192.168.10.64:8080/ubuntu.qcow2'),
    disk: requiredDevice(environment, 'DEST_DISK', '/dev/sda'),
    ...(sha256 === undefined ? {} : { sha256 }),
    retryForMs: (optionalInteger(environment, 'RETRY_DURATION_MINUTES', { least: 0, most: 100_000 }) ?? 10) * 60_000,
    progressEveryMs: progressIntervalMs(environment),
    proxy: parseProxy(environment),
    ignored: parseExtraArguments(environment),
  };
}

/** Option → whether it takes a value. Progress, order of writing, threads, caches, sparse zeros: not what is written. */
const HARMLESS: Readonly<Record<string, boolean>> = {
  '-p': false,
  '-q': false,
  '-W': false,
  '-m': true,
  '-t': true,
  '-T': true,
  '-S': true,
};

function parseExtraArguments(environment: Environment): readonly string[] {
  const words = (environment['EXTRA_ARGS'] ?? '').split(/\s+/).filter((word) => word !== '');
  for (let i = 0; i < words.length; i++) {
    const takesValue = HARMLESS[words[i] ?? ''];
    if (takesValue === undefined) {
      const fix = `leave out ${words[i]}: qemu-img is not run, and only ${Object.keys(HARMLESS).join(', ')} can be ignored`;
      throw invalidParam('EXTRA_ARGS', environment['EXTRA_ARGS'], fix);
    }
    if (takesValue) i += 1;
  }
  return words;
}
