import type { DatacenterManifest } from './cluster-kind.ts';
import { faultOfIpv4 } from './network-address.ts';
import { clusterFrame } from './object-metadata.ts';
import { faultOfImageUrl, faultOfUrl } from './url-fault.ts';
import {
  boolean,
  noted,
  object,
  optional,
  type Reader,
  refined,
  refuseAt,
  required,
  text,
  warnAt,
  type YamlValue,
} from './yaml-reader.ts';

const specFields = object({
  hookImagesURLPath: optional(text(faultOfUrl)),
  hookIsoURL: optional(text(faultOfIsoUrl)),
  isoBoot: optional(boolean()),
  loadBalancerInterface: optional(text()),
  osImageURL: optional(noted(text(faultOfImageUrl))),
  skipLoadBalancerDeployment: optional(boolean()),
  tinkerbellIP: required(noted(text(faultOfIpv4))),
});

type GivenSpec = NonNullable<ReturnType<typeof specFields>>;

/** TinkerbellDatacenterConfig, `anywhere.eks.amazonaws.com/v1alpha1`. */
export const readDatacenter: Reader<DatacenterManifest> = refined(
  object({ ...clusterFrame, spec: required(refined(specFields, checkedSpec)) }),
  ({ metadata, spec }) => {
    const { name, namespace } = metadata;
    const { tinkerbellIP, osImageURL, hookImagesURLPath } = spec;
    return {
      name,
      tinkerbellIP,
      ...(namespace === undefined ? {} : { namespace }),
      ...(osImageURL === undefined ? {} : { osImageURL }),
      ...(hookImagesURLPath === undefined ? {} : { hookImagesURLPath }),
    };
  },
);

/** What EKS Anywhere needs and this server does otherwise. */
const NOT_ACTED_ON: Readonly<Partial<Record<keyof GivenSpec, string>>> = {
  hookImagesURLPath: 'machines start the boot environment of this server',
  loadBalancerInterface: 'this server answers at tinkerbellIP by itself',
  skipLoadBalancerDeployment: 'this server answers at tinkerbellIP by itself',
};

function checkedSpec(spec: GivenSpec, value: YamlValue): GivenSpec | undefined {
  const { isoBoot = false, hookIsoURL } = spec;
  for (const [field, reason] of Object.entries(NOT_ACTED_ON)) {
    if (entryIsGiven(spec, field)) warnAt(value, field, `spec.${field} is not acted on: ${reason}`);
  }
  if (isoBoot) warnAt(value, 'isoBoot', 'spec.isoBoot is not acted on: machines start from the network');
  if (hookIsoURL === undefined || isoBoot) return spec;
  return refuseAt(value, 'hookIsoURL', 'spec.hookIsoURL is only for isoBoot: true: remove it, or set isoBoot');
}

function entryIsGiven(spec: GivenSpec, field: string): boolean {
  const given = Object.entries(spec).find(([key]) => key === field)?.[1];
  return given !== undefined && given !== false;
}

function faultOfIsoUrl(url: string): string | undefined {
  const fault = faultOfUrl(url);
  if (fault !== undefined) return fault;
  return new URL(url).pathname.endsWith('.iso') ? undefined : 'does not end in .iso: name the ISO file itself';
}
