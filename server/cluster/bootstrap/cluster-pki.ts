import 'reflect-metadata'; // @peculiar/x509 needs it before its own first line
import { createHash, generateKeyPair, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import * as x509 from '@peculiar/x509';

/*
 * The certificates that a cluster begins with, as kubeadm would make them (Kubernetes documentation, "PKI certificates and
 * requirements"): authorities of ten years, ECDSA P-256; everything below them is issued on the nodes by kubeadm or k3s.
 */

const CURVE = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const { digitalSignature, keyEncipherment, keyCertSign } = x509.KeyUsageFlags;
// oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- flags are combined by `|`, which TypeScript calls a number
const CLIENT_USAGES: x509.KeyUsageFlags = digitalSignature | keyEncipherment;
// oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- as above
const AUTHORITY_USAGES: x509.KeyUsageFlags = CLIENT_USAGES | keyCertSign;
const DAY_MS = 24 * 3_600_000;
const AUTHORITY_LIFE_MS = 3650 * DAY_MS;
/** Certificates begin earlier: the clock of a machine that was just installed may be behind. */
const CLOCK_SKEW_MS = DAY_MS;

/** PEM texts. The key is a secret. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface ClientIdentity {
  readonly commonName: string;
  /** Groups, to Kubernetes. */
  readonly organizations: readonly string[];
}

/** A self-signed authority. kubeadm gives each its common name as DNS name, too. */
export async function makeAuthority(commonName: string, at: Date): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [commonName] }],
    notBefore: new Date(at.getTime() - CLOCK_SKEW_MS),
    notAfter: new Date(at.getTime() + AUTHORITY_LIFE_MS),
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(AUTHORITY_USAGES, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: commonName }]),
    ],
  });
  return { certificate: pemLines(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

/** A new key and its client certificate, issued by `authority`. */
export async function issueClient(
  authority: KeyPair,
  { commonName, organizations }: ClientIdentity,
  { at, lifeMs }: { readonly at: Date; readonly lifeMs: number },
): Promise<KeyPair> {
  const issuer = new x509.X509Certificate(authority.certificate);
  const pkcs8 = x509.PemConverter.decodeFirst(authority.key);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', pkcs8, CURVE, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
  // Never longer than its issuer: what checks the chain would refuse it.
  const notAfter = new Date(Math.min(at.getTime() + lifeMs, issuer.notAfter.getTime()));
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [...organizations.map((organization) => ({ O: [organization] })), { CN: [commonName] }],
    issuer: issuer.subject,
    notBefore: new Date(Math.max(at.getTime() - CLOCK_SKEW_MS, issuer.notBefore.getTime())),
    notAfter,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(CLIENT_USAGES, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { certificate: pemLines(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

/**
 * What service-account tokens are signed with. RSA, unlike the authorities: OpenID Connect asks every verifier for RS256
 * only, and clusters publish this key to verifiers outside.
 */
export async function makeServiceAccountKeys(): Promise<{ readonly publicKey: string; readonly privateKey: string }> {
  return promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
}

/** kubeadm's pin of an authority for discovery by token: `sha256:` and the hash of its SubjectPublicKeyInfo. */
export function publicKeyHash(certificatePem: string): string {
  const { publicKey } = new X509Certificate(certificatePem);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return pemLines(x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY'));
}

/** PEM files end with a line break; k3s hashes the text of its authority and would add one. */
function pemLines(pem: string): string {
  return `${pem.trimEnd()}\n`;
}

/** 159 random bits, positive and not zero (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(20);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
