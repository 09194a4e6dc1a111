import { X509Certificate } from 'node:crypto';
import { faultOfHttpUrl } from '#proto/http-url.ts';
import type { ClusterManifest, RegistryMirror } from './cluster-kind.ts';
import { canonicalCidr, doNetworksOverlap, faultOfCidr, faultOfIpv4, prefixOfCidr } from './network-address.ts';
import { faultOfObjectName } from './object-names.ts';
import {
  boolean,
  integer,
  list,
  noted,
  object,
  optional,
  type Reader,
  refined,
  refuse,
  refuseAt,
  refusedField,
  required,
  scalarText,
  secretText,
  text,
  warnAt,
  word,
  type YamlValue,
} from './yaml-reader.ts';

type ClusterNetwork = Pick<ClusterManifest, 'podCidr' | 'serviceCidr' | 'nodeCidrMaskSize'>;

/** The values of EKS Anywhere's generator, for what the file leaves out. */
export const DEFAULT_NETWORK: ClusterNetwork = {
  podCidr: '192.168.0.0/16',
  serviceCidr: '10.96.0.0/12',
  nodeCidrMaskSize: 24,
};

/** A node's part may be at most this much smaller than the whole: Kubernetes keeps a bit for each part. */
const MOST_NODE_BITS = 16;

const readCidr: Reader<string> = refined(
  object({ cidrBlocks: required(list(text(faultOfCidr))) }),
  ({ cidrBlocks }, value) => {
    const [cidr] = cidrBlocks;
    if (cidr !== undefined && cidrBlocks.length === 1) {
      const network = canonicalCidr(cidr);
      if (network !== cidr) warnAt(value, 'cidrBlocks', `${value.path}.cidrBlocks ${cidr} is read as ${network}`);
      return network;
    }
    const fact = `${value.path}.cidrBlocks has ${cidrBlocks.length} networks`;
    return refuseAt(value, 'cidrBlocks', `${fact}: write exactly one`);
  },
);

const cilium = object({
  policyEnforcementMode: optional(word(['default', 'always', 'never'])),
  egressMasqueradeInterfaces: optional(text()),
  skipUpgrade: optional(boolean()),
  routingMode: optional(word(['default', 'direct'])),
  ipv4NativeRoutingCIDR: optional(text(faultOfCidr)),
  ipv6NativeRoutingCIDR: optional(text()),
});

const kindnetd = refusedField('is for clusters in Docker: write cilium: {}');

export const readClusterNetwork: Reader<ClusterNetwork> = refined(
  object({
    cni: optional(word(['cilium', 'cilium-enterprise'])),
    cniConfig: optional(object({ cilium: optional(cilium), kindnetd: optional(kindnetd) })),
    dns: optional(object({ resolvConf: optional(object({ path: optional(text()) })) })),
    nodes: optional(object({ cidrMaskSize: optional(integer(1, 32)) })),
    pods: optional(noted(readCidr)),
    services: optional(noted(readCidr)),
  }),
  ({ nodes, pods, services, dns }, value) => {
    const network: ClusterNetwork = {
      podCidr: pods ?? DEFAULT_NETWORK.podCidr,
      serviceCidr: services ?? DEFAULT_NETWORK.serviceCidr,
      nodeCidrMaskSize: nodes?.cidrMaskSize ?? DEFAULT_NETWORK.nodeCidrMaskSize,
    };
    if (dns?.resolvConf !== undefined) warnAt(value, 'dns', `${value.path}.dns is not acted on`);
    return faultOfNetwork(network, value) ? undefined : network;
  },
);

function faultOfNetwork({ podCidr, serviceCidr, nodeCidrMaskSize }: ClusterNetwork, value: YamlValue): boolean {
  const { findings } = value.scope;
  const before = findings.problemCount;
  const podBits = prefixOfCidr(podCidr);
  const fact = `${value.path}.pods ${podCidr} is cut into /${nodeCidrMaskSize} networks, one for each node`;
  if (podBits >= nodeCidrMaskSize) {
    refuseAt(value, 'pods', `${fact}: make it larger, or nodes.cidrMaskSize greater than ${podBits}`, podCidr);
  } else if (nodeCidrMaskSize - podBits > MOST_NODE_BITS) {
    const most = podBits + MOST_NODE_BITS;
    refuseAt(value, 'pods', `${fact}, more than Kubernetes counts: make nodes.cidrMaskSize at most ${most}`, podCidr);
  }
  if (doNetworksOverlap(podCidr, serviceCidr)) {
    const at = `${value.path}.services ${serviceCidr}`;
    refuseAt(value, 'services', `${at} overlaps with the pods' ${podCidr}: choose another network`, serviceCidr);
  }
  return findings.problemCount > before;
}

/** May hold a password: it is in no message. */
const readProxyUrl: Reader<string> = refined(secretText(), (written, value) => {
  const fault = faultOfHttpUrl(written);
  if (fault !== undefined) return refuse(value, `${value.path} ${fault}`);
  const isUrl = /^https?:\/\/\S+$/.test(written) && URL.canParse(written);
  if (isUrl || /^[\w.-]+:\d{1,5}$/.test(written)) return written;
  return refuse(value, `${value.path} is no address of a proxy: write it like http://10.0.0.9:3128`);
});

export const readProxy: Reader<NonNullable<ClusterManifest['proxy']>> = refined(
  object({
    httpProxy: required(readProxyUrl),
    httpsProxy: required(readProxyUrl),
    noProxy: optional(list(text((host) => (host.trim() === '' ? 'is empty: remove it' : undefined)))),
  }),
  ({ httpProxy, httpsProxy, noProxy = [] }) => ({ http: httpProxy, https: httpsProxy, except: noProxy }),
);

export const readRegistryMirror: Reader<RegistryMirror> = refined(
  object({
    authenticate: optional(boolean()),
    caCertContent: optional(text(faultOfCertificates)),
    endpoint: required(text(faultOfEndpoint)),
    insecureSkipVerify: optional(boolean()),
    ociNamespaces: optional(list(object({ registry: required(text()), namespace: optional(text()) }))),
    port: optional(scalarText(faultOfPort)),
  }),
  ({ authenticate, caCertContent, endpoint, insecureSkipVerify = false, ociNamespaces = [], port = '443' }, value) => {
    if (authenticate === true) {
      const fact = 'is not acted on: no registry credentials are kept';
      warnAt(value, 'authenticate', `${value.path}.authenticate ${fact}`);
    }
    return {
      endpoint,
      port,
      ociNamespaces: ociNamespaces.map(({ registry, namespace = '' }) => ({ registry, namespace })),
      insecureSkipVerify,
      ...(caCertContent === undefined ? {} : { caCertContent }),
    };
  },
);

function faultOfEndpoint(endpoint: string): string | undefined {
  if (faultOfIpv4(endpoint) === undefined || faultOfObjectName(endpoint.toLowerCase()) === undefined) return undefined;
  return 'is not a host: write its name or address alone, without https:// and port';
}

function faultOfPort(port: string): string | undefined {
  const isPort = /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535;
  return isPort ? undefined : 'is not a port: write a number from 1 to 65535';
}

/** Says what is wrong with certificates in PEM, and the fix. */
export function faultOfCertificates(pem: string): string | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) return 'holds no certificate: write it in PEM, from BEGIN CERTIFICATE to END CERTIFICATE';
  const begun = pem.split('-----BEGIN CERTIFICATE-----').length - 1;
  return blocks.length === begun && blocks.every(isCertificate)
    ? undefined
    : 'holds a certificate that cannot be read: copy the whole of it';
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    // Not DER, or not a certificate: the sentence above says so.
    return false;
  }
}
