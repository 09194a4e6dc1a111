import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** PEM. */
export interface TlsIdentity {
  readonly key: Buffer;
  readonly cert: Buffer;
}

/**
 * A site's own authority, as openssl makes one, and a host that it vouches for by its address: `ca.pem`, `ca.key`, `host.pem` and
 * `host.key` in the folder.
 */
export function makeAuthority(folder: string, address = '127.0.0.1'): TlsIdentity {
  const openssl = (...argv: string[]): Buffer => execFileSync('openssl', argv, { cwd: folder, stdio: 'pipe' });
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...key, '-keyout', 'ca.key', '-out', 'ca.pem', '-subj', '/CN=site', '-days', '2');
  const host = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-addext', `subjectAltName=IP:${address}`];
  const leaf = [...host, '-addext', 'basicConstraints=CA:FALSE', '-subj', '/CN=host', '-days', '2'];
  openssl('req', '-x509', ...key, '-keyout', 'host.key', '-out', 'host.pem', ...leaf);
  return { key: readFileSync(join(folder, 'host.key')), cert: readFileSync(join(folder, 'host.pem')) };
}
