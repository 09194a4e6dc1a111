/** The versions that EKS Anywhere's releases of this year support on bare metal; others may work and get a warning. */
const FIRST_SUPPORTED = 30;
const LAST_SUPPORTED = 36;
/** EKS Anywhere publishes Bottlerocket images for bare metal up to this version. */
const LAST_WITH_BOTTLEROCKET = 28;

/** Says what is wrong with a Kubernetes version, `1.30`, and the fix. */
export function faultOfKubernetesVersion(version: string): string | undefined {
  const parts = /^v?1\.(\d{1,2})(\.\d+)?$/.exec(version);
  if (parts === null) return 'is not a Kubernetes version: write major and minor number, like "1.30"';
  if (version !== `1.${Number(parts[1])}`)
    return `is not written as EKS Anywhere takes it: write "1.${Number(parts[1])}"`;
  return version === '1.20' ? 'is not supported on bare metal: choose 1.21 or later' : undefined;
}

/** What is worth knowing of a version that EKS Anywhere itself would refuse today. */
export function doubtOfKubernetesVersion(version: string): string | undefined {
  const minor = minorOf(version);
  if (minor >= FIRST_SUPPORTED && minor <= LAST_SUPPORTED) return undefined;
  return `is outside 1.${FIRST_SUPPORTED} to 1.${LAST_SUPPORTED}, which EKS Anywhere supports today: bring images of your own`;
}

export function doubtOfBottlerocket(version: string): string | undefined {
  if (minorOf(version) <= LAST_WITH_BOTTLEROCKET) return undefined;
  return `EKS Anywhere publishes no Bottlerocket for bare metal after Kubernetes 1.${LAST_WITH_BOTTLEROCKET}: bring an image of your own for ${version}`;
}

/** The minor number of a checked version: 30 for `1.30`. */
export function minorOf(version: string): number {
  return Number(version.slice(version.indexOf('.') + 1));
}
