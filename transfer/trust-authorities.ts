import { getCACertificates, setDefaultCACertificates } from 'node:tls';

/**
 * From now on this process trusts them (PEM) besides those that Node.js knows, wherever a connection names no authority of its own.
 * Twice is harmless. Throws for what is no certificate.
 */
export function trustAuthorities(pem: string): void {
  setDefaultCACertificates([...getCACertificates('default'), ...certificatesIn(pem)]);
}

/** The certificates in a PEM file, one each. */
export function certificatesIn(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? [];
}
