import { TinsmithError } from '#proto/errors.ts';
import { didYouMean } from '../../manifests/did-you-mean.ts';
import type { JsonObject, JsonValue } from '../../manifests/hardware-kind.ts';
import type { TomlTable, TomlValue } from './toml.ts';

/** Bottlerocket's `settings.kubernetes` of what EKS Anywhere's and kubelet's configuration name otherwise. */
const KUBERNETES_SETTINGS: Readonly<Record<string, string>> = {
  allowedUnsafeSysctls: 'allowed-unsafe-sysctls',
  clusterDNS: 'cluster-dns-ip',
  clusterDNSIPs: 'cluster-dns-ip',
  clusterDomain: 'cluster-domain',
  containerLogMaxFiles: 'container-log-max-files',
  containerLogMaxSize: 'container-log-max-size',
  cpuCFSQuota: 'cpu-cfs-quota-enforced',
  cpuManagerPolicy: 'cpu-manager-policy',
  cpuManagerPolicyOptions: 'cpu-manager-policy-options',
  cpuManagerReconcilePeriod: 'cpu-manager-reconcile-period',
  eventBurst: 'event-burst',
  eventRecordQPS: 'event-qps',
  evictionHard: 'eviction-hard',
  evictionMaxPodGracePeriod: 'eviction-max-pod-grace-period',
  evictionSoft: 'eviction-soft',
  evictionSoftGracePeriod: 'eviction-soft-grace-period',
  imageGCHighThresholdPercent: 'image-gc-high-threshold-percent',
  imageGCLowThresholdPercent: 'image-gc-low-threshold-percent',
  kubeAPIBurst: 'kube-api-burst',
  kubeAPIQPS: 'kube-api-qps',
  kubeReserved: 'kube-reserved',
  maxPods: 'max-pods',
  memoryManagerPolicy: 'memory-manager-policy',
  podPidsLimit: 'pod-pids-limit',
  registryBurst: 'registry-burst',
  registryPullQPS: 'registry-qps',
  shutdownGracePeriod: 'shutdown-grace-period',
  shutdownGracePeriodCriticalPods: 'shutdown-grace-period-for-critical-pods',
  systemReserved: 'system-reserved',
  topologyManagerPolicy: 'topology-manager-policy',
  topologyManagerScope: 'topology-manager-scope',
};

/** Part of every kubelet configuration file and no setting. */
const NO_SETTINGS = new Set(['apiVersion', 'kind']);

/** `source`: what the names are from, for the error: `bottlerocketConfiguration.kubernetes`. Throws `invalid_input`. */
export function kubernetesSettings(values: JsonObject | undefined, source: string): TomlTable {
  const settings: Record<string, TomlValue | TomlTable> = {};
  for (const [name, value] of Object.entries(values ?? {})) {
    if (value === undefined || NO_SETTINGS.has(name)) continue;
    const setting = Object.hasOwn(KUBERNETES_SETTINGS, name) ? KUBERNETES_SETTINGS[name] : undefined;
    if (setting === undefined) {
      throw new TinsmithError(
        'invalid_input',
        `Bottlerocket has no setting for ${name} of ${source}${didYouMean(name, Object.keys(KUBERNETES_SETTINGS))}`,
      );
    }
    settings[setting] = tomlValue(value, `${source}.${name}`);
  }
  return settings;
}

/** A value of a settings file; `where` names it in the error. */
export function tomlValue(value: JsonValue, where: string): TomlValue | TomlTable {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (isScalars(value)) return value;
  if (value !== null && !isList(value)) {
    const entries = Object.entries(value).flatMap(([key, inner]) =>
      inner === undefined ? [] : [[key, tomlValue(inner, `${where}.${key}`)] as const],
    );
    return Object.fromEntries(entries);
  }
  throw new TinsmithError('invalid_input', `${where} is neither text, number, boolean, a list of these nor an object`);
}

function isList(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function isScalars(value: JsonValue): value is readonly (string | number | boolean)[] {
  return isList(value) && value.every((item) => ['string', 'number', 'boolean'].includes(typeof item));
}
