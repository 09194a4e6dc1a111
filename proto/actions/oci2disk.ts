import type { ActionDeclaration } from './declaration.ts';
import {
  type Environment,
  invalidParam,
  optionalBoolean,
  optionalInteger,
  optionalText,
  progressIntervalMs,
  requiredDevice,
  requiredText,
} from './environment.ts';
import { type OciReference, parseOciReference } from './oci-reference.ts';
import { PROXY_ENVIRONMENT, PROXY_SECRETS, type ProxyParams, parseProxy } from './proxy.ts';

/** Stream an image from an OCI registry to a disk. What it is compressed with is seen from its first bytes. */
export interface Oci2diskParams {
  readonly image: OciReference;
  readonly disk: string;
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Whether any TLS certificate will do; digests are checked all the same. */
  readonly skipVerify: boolean;
  /** How long a download may make no headway before the action gives up; 0: as long as the action itself may take. */
  readonly retryForMs: number;
  readonly progressEveryMs: number;
  readonly proxy: ProxyParams;
}

export const oci2disk: ActionDeclaration<Oci2diskParams> = {
  summary: 'Stream an image that an OCI registry holds (ORAS artefact or image with one file) to a disk.',
  // As image2disk: every try starts by making the disk unbootable.
  repeatable: true,
  fixes: [
    'Digests are enforced, proxies are used, and a device that does not exist is no new file.',
    'Of several layers the one is written whose title or media type is a disk image’s, not a kernel, initrd or list of sums; an artefact with several disk images, and an index without an entry for the machine’s architecture, are refused.',
  ],
  environment: {
    IMG_URL: 'Reference of the artefact: registry.example/path/name:tag or …@sha256:…; http:// in front: without TLS.',
    DEST_DISK: 'Disk to overwrite, such as /dev/sda, /dev/nvme0n1 or /dev/disk/by-id/….',
    REGISTRY_USERNAME: 'User of the registry; default: anonymous.',
    REGISTRY_PASSWORD: 'Password or token of that user.',
    SKIP_VERIFY: 'true: any TLS certificate will do; digests are checked all the same.',
    COMPRESSED: 'Accepted and checked to be a boolean; the first bytes of the image decide.',
    RETRY_DURATION_MINUTES:
      'Minutes without a single new byte before the download is given up; default 10, 0: no limit (Tinsmith).',
    PROGRESS_INTERVAL_SECONDS: 'Seconds between progress lines in the log; default 3, also for 0 (Tinsmith).',
    ...PROXY_ENVIRONMENT,
  },
  secrets: ['REGISTRY_PASSWORD', ...PROXY_SECRETS],
  parse: parseOci2disk,
};

function parseOci2disk(environment: Environment): Oci2diskParams {
  optionalBoolean(environment, 'COMPRESSED');
  const username = optionalText(environment, 'REGISTRY_USERNAME');
  const password = optionalText(environment, 'REGISTRY_PASSWORD');
  if ((username === undefined) !== (password === undefined)) {
    const missing = username === undefined ? 'REGISTRY_USERNAME' : 'REGISTRY_PASSWORD';
    throw invalidParam(missing, undefined, 'set REGISTRY_USERNAME and REGISTRY_PASSWORD together, or neither');
  }
  const minutes = optionalInteger(environment, 'RETRY_DURATION_MINUTES', { least: 0, most: 100_000 }) ?? 10;
  return {
    image: parseOciReference('IMG_URL', requiredText(environment, 'IMG_URL', 'registry.example/os/debian:12')),
    disk: requiredDevice(environment, 'DEST_DISK', '/dev/sda'),
    ...(username === undefined || password === undefined ? {} : { credentials: { username, password } }),
    skipVerify: optionalBoolean(environment, 'SKIP_VERIFY') ?? false,
    retryForMs: minutes * 60_000,
    progressEveryMs: progressIntervalMs(environment),
    proxy: parseProxy(environment),
  };
}
