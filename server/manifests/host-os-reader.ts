import { faultOfCertificates } from './cluster-network-readers.ts';
import type { JsonObject } from './hardware-kind.ts';
import type { MachineConfigManifest } from './machine-config-kind.ts';
import { faultOfIp } from './network-address.ts';
import { faultOfObjectName } from './object-names.ts';
import {
  boolean,
  integer,
  list,
  object,
  optional,
  type Reader,
  record,
  refined,
  required,
  scalarText,
  text,
} from './yaml-reader.ts';

/** `hostOSConfiguration` of a machine config. */
export type HostOs = Pick<MachineConfigManifest, 'ntpServers' | 'certBundles' | 'bottlerocketConfiguration'>;

const number = integer(0, Number.MAX_SAFE_INTEGER);
const percent = integer(0, 100);
const texts = record(scalarText());

/** Field names of Cluster API's bootstrap provider for Bottlerocket. */
const kubernetesSettings = object({
  allowedUnsafeSysctls: optional(list(text())),
  clusterDNSIPs: optional(list(text(faultOfIp))),
  clusterDomain: optional(text(faultOfObjectName)),
  containerLogMaxFiles: optional(number),
  containerLogMaxSize: optional(text()),
  cpuCFSQuota: optional(boolean()),
  cpuManagerPolicy: optional(text()),
  cpuManagerPolicyOptions: optional(texts),
  cpuManagerReconcilePeriod: optional(text()),
  eventBurst: optional(number),
  eventRecordQPS: optional(number),
  evictionHard: optional(texts),
  evictionMaxPodGracePeriod: optional(number),
  evictionSoft: optional(texts),
  evictionSoftGracePeriod: optional(texts),
  imageGCHighThresholdPercent: optional(percent),
  imageGCLowThresholdPercent: optional(percent),
  kubeAPIBurst: optional(number),
  kubeAPIQPS: optional(number),
  kubeReserved: optional(texts),
  maxPods: optional(integer(1, 1_000_000)),
  memoryManagerPolicy: optional(text()),
  podPidsLimit: optional(integer(-1, Number.MAX_SAFE_INTEGER)),
  providerID: optional(text()),
  registryBurst: optional(number),
  registryPullQPS: optional(number),
  shutdownGracePeriod: optional(text()),
  shutdownGracePeriodCriticalPods: optional(text()),
  systemReserved: optional(texts),
  topologyManagerPolicy: optional(text()),
  topologyManagerScope: optional(text()),
});

const bottlerocketSettings: Reader<JsonObject> = refined(
  object({
    boot: optional(object({ bootKernelParameters: optional(record(list(scalarText()))) })),
    kernel: optional(object({ sysctlSettings: optional(texts) })),
    kubernetes: optional(kubernetesSettings),
  }),
  // A copy, because a type with named optional fields is no map of free ones.
  ({ boot, kernel, kubernetes }): JsonObject => ({
    ...(boot === undefined ? {} : { boot: { ...boot } }),
    ...(kernel === undefined ? {} : { kernel: { ...kernel } }),
    ...(kubernetes === undefined ? {} : { kubernetes: { ...kubernetes } }),
  }),
);

export const readHostOs: Reader<HostOs> = refined(
  object({
    bottlerocketConfiguration: optional(bottlerocketSettings),
    certBundles: optional(
      list(object({ name: required(text(faultOfObjectName)), data: required(text(faultOfCertificates)) })),
    ),
    ntpConfiguration: optional(object({ servers: required(list(text(faultOfServer))) })),
  }),
  ({ bottlerocketConfiguration, certBundles = [], ntpConfiguration }) => ({
    ntpServers: ntpConfiguration?.servers ?? [],
    certBundles,
    ...(bottlerocketConfiguration === undefined ? {} : { bottlerocketConfiguration }),
  }),
);

function faultOfServer(server: string): string | undefined {
  if (faultOfIp(server) === undefined || faultOfObjectName(server.toLowerCase()) === undefined) return undefined;
  return 'is neither an IP address nor a DNS name: write the name of a time server';
}
