import { TinsmithError } from '#proto/errors.ts';
import type { ClusterSecrets } from './bootstrapper.ts';
import type { KeyPair } from './cluster-pki.ts';

/** A secret that the bootstrapper made itself; the sentence never holds its value. */
export function secretOf(secrets: ClusterSecrets, name: string): string {
  const value = Object.hasOwn(secrets, name) ? secrets[name] : undefined;
  if (value !== undefined) return value;
  throw new TinsmithError('internal', `the secrets of the cluster lack ${name}: another bootstrapper made them`);
}

/** A certificate and its key, kept under `<name>.crt` and `<name>.key`. */
export function keyPairOf(secrets: ClusterSecrets, name: string): KeyPair {
  return { certificate: secretOf(secrets, `${name}.crt`), key: secretOf(secrets, `${name}.key`) };
}

export function keyPairEntries(name: string, pair: KeyPair): ClusterSecrets {
  return { [`${name}.crt`]: pair.certificate, [`${name}.key`]: pair.key };
}
