import { TinsmithError } from '#proto/errors.ts';

/** `1.30` or `v1.30.4`; what follows the minor number is not looked at. */
export interface KubernetesVersion {
  readonly major: number;
  readonly minor: number;
}

export function parseKubernetesVersion(text: string): KubernetesVersion {
  const match = /^v?(?<major>\d+)\.(?<minor>\d+)(?:$|[.+-])/.exec(text);
  if (match?.groups !== undefined) {
    return { major: Number(match.groups['major']), minor: Number(match.groups['minor']) };
  }
  throw new TinsmithError('invalid_input', `the Kubernetes version ${text} is not of the form 1.30`);
}

/** Whether `version` is `minor` of Kubernetes 1 or newer. */
export function isAtLeast(version: KubernetesVersion, minor: number): boolean {
  return version.major > 1 || (version.major === 1 && version.minor >= minor);
}
