import { TinsmithError } from '#proto/errors.ts';
import type { ClusterDefinition } from '../../manifests/cluster-kind.ts';
import { didYouMean } from '../../manifests/did-you-mean.ts';
import type { Bootstrapper } from './bootstrapper.ts';
import { k3s } from './k3s.ts';
import { kubeadm } from './kubeadm.ts';
import { none } from './none.ts';

/** A new bootstrapper is a file of its own and a name here. */
const BOOTSTRAPPERS: readonly Bootstrapper[] = [kubeadm, k3s, none];

export const DEFAULT_BOOTSTRAPPER = kubeadm.name;

export const BOOTSTRAPPER_NAMES: readonly string[] = BOOTSTRAPPERS.map(({ name }) => name);

/** The bootstrapper that the cluster names. Throws `invalid_input` with those that exist. */
export function bootstrapperFor({ cluster }: ClusterDefinition): Bootstrapper {
  const name = cluster.bootstrapper ?? DEFAULT_BOOTSTRAPPER;
  const found = BOOTSTRAPPERS.find((bootstrapper) => bootstrapper.name === name);
  if (found !== undefined) return found;
  throw new TinsmithError(
    'invalid_input',
    `Cluster ${cluster.name} names the bootstrapper ${name}, which does not exist${didYouMean(name, BOOTSTRAPPER_NAMES)}; ` +
      `annotation tinsmith.dev/bootstrapper is one of ${BOOTSTRAPPER_NAMES.join(', ')}`,
  );
}
