import 'reflect-metadata'; // @peculiar/x509 needs it before its own first line
import { createHash, X509Certificate as NodeCertificate, randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { SERVER_NAME } from '#proto/agent-service-definition.ts';
import { TinsmithError } from '#proto/errors.ts';
import type { Store } from '../store/store.ts';

/*
 * Our own certificate authority: X.509 after RFC 5280, ECDSA P-256 with SHA-256 throughout.
 *
 * The CA's and the server's certificates have no end (RFC 5280, 4.1.2.5) and begin in 1970: the machines that check them
 * often have no clock that is right, and what they trust is the CA's hash from their boot script, not a date. The server's
 * key is new at every start. Agents' certificates are checked here, against our clock, and live a day.
 */

const SETTING_KEY = 'certificate-authority';
const CURVE = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const BEGINNING = new Date(0);
const NO_END = new Date(Date.UTC(9999, 11, 31, 23, 59, 59));
const CLIENT_LIFE_MS = 24 * 3600_000;
/** Certificates begin a little earlier: servers that share one CA may disagree about the time. */
const CLOCK_SKEW_MS = 5 * 60_000;
const IDENTITY_PREFIX = 'tinsmith:hardware/';
const CLIENT_AUTH_OID: string = x509.ExtendedKeyUsage.clientAuth;

/** A certificate and private key, PEM. The key is a secret. */
export interface ServerIdentity {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface ClientCertificate {
  readonly der: Buffer;
  readonly expiresAt: Date;
}

export interface CertificateAuthority {
  readonly certificateDer: Buffer;
  readonly certificatePem: string;
  /** SHA-256 of the DER, lower-case hex: `tinsmith.ca` on the kernel command line. */
  readonly fingerprint: string;
  /** A new key and a certificate for the DNS name `tinsmith-server`. */
  issueServer(): Promise<ServerIdentity>;
  /** A day's identity for a machine's agent. `publicKey`: SubjectPublicKeyInfo, DER. */
  issueClient(publicKey: Uint8Array, hardware: string): Promise<ClientCertificate>;
  /** Name of the Hardware that a client certificate (DER) speaks for. Throws `unauthenticated`. */
  identify(certificateDer: Uint8Array): string;
}

/** Opens the CA that the store keeps, or makes it: the key never leaves the store's secrets and this process. */
export async function openCertificateAuthority(options: {
  readonly store: Pick<Store, 'setting' | 'putSetting'>;
  readonly clock: () => Date;
}): Promise<CertificateAuthority> {
  const kept = await options.store.setting(SETTING_KEY);
  const document = kept ?? (await makeAuthority());
  if (kept === undefined) await options.store.putSetting(SETTING_KEY, document, { secret: true });
  const { certificate, key } = await readAuthority(document);
  const der = Buffer.from(certificate.rawData);
  const issuer: Issuer = { certificate, key, clock: options.clock };
  const authority = new NodeCertificate(der);
  return {
    certificateDer: der,
    certificatePem: certificate.toString('pem'),
    fingerprint: createHash('sha256').update(der).digest('hex'),
    issueServer: () => issueServer(issuer),
    issueClient: (publicKey, hardware) => issueClient(issuer, publicKey, hardware),
    identify: (certificateDer) => identify(authority, certificateDer, options.clock()),
  };
}

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
  readonly clock: () => Date;
}

async function makeAuthority(): Promise<string> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: 'CN=Tinsmith CA',
    notBefore: BEGINNING,
    notAfter: NO_END,
    keys,
    signingAlgorithm: SIGNATURE,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return JSON.stringify({ certificate: certificate.toString('pem'), key: await exportKey(keys.privateKey) });
}

async function readAuthority(document: string): Promise<Omit<Issuer, 'clock'>> {
  const value: unknown = JSON.parse(document);
  if (!isAuthorityDocument(value)) {
    throw new TinsmithError('internal', `cannot read the certificate authority: setting ${SETTING_KEY} is not ours`);
  }
  const pkcs8 = x509.PemConverter.decodeFirst(value.key);
  return {
    certificate: new x509.X509Certificate(value.certificate),
    key: await webcrypto.subtle.importKey('pkcs8', pkcs8, CURVE, false, ['sign']),
  };
}

function isAuthorityDocument(value: unknown): value is { readonly certificate: string; readonly key: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'certificate' in value &&
    'key' in value &&
    typeof value.certificate === 'string' &&
    typeof value.key === 'string'
  );
}

async function issueServer(issuer: Issuer): Promise<ServerIdentity> {
  const keys = await generateKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${SERVER_NAME}`,
    issuer: issuer.certificate.subject,
    notBefore: BEGINNING,
    notAfter: NO_END,
    publicKey: keys.publicKey,
    signingKey: issuer.key,
    signingAlgorithm: SIGNATURE,
    extensions: [
      ...(await leafExtensions(issuer, x509.ExtendedKeyUsage.serverAuth)),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: SERVER_NAME }]),
    ],
  });
  return { certificatePem: certificate.toString('pem'), keyPem: await exportKey(keys.privateKey) };
}

async function issueClient(issuer: Issuer, publicKey: Uint8Array, hardware: string): Promise<ClientCertificate> {
  const now = issuer.clock().getTime();
  const expiresAt = new Date(now + CLIENT_LIFE_MS);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    // A common name holds 64 characters at most (RFC 5280, appendix A.1); the identity is the URI.
    subject: [{ CN: [hardware.slice(0, 64)] }],
    issuer: issuer.certificate.subject,
    notBefore: new Date(now - CLOCK_SKEW_MS),
    notAfter: expiresAt,
    publicKey: Uint8Array.from(publicKey),
    signingKey: issuer.key,
    signingAlgorithm: SIGNATURE,
    extensions: [
      ...(await leafExtensions(issuer, x509.ExtendedKeyUsage.clientAuth)),
      new x509.SubjectAlternativeNameExtension([
        { type: 'url', value: `${IDENTITY_PREFIX}${encodeURIComponent(hardware)}` },
      ]),
    ],
  });
  return { der: Buffer.from(certificate.rawData), expiresAt };
}

async function leafExtensions(issuer: Issuer, usage: x509.ExtendedKeyUsage): Promise<x509.Extension[]> {
  return [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension([usage], true),
    await x509.AuthorityKeyIdentifierExtension.create(issuer.certificate),
  ];
}

function identify(authority: NodeCertificate, certificateDer: Uint8Array, now: Date): string {
  const certificate = parseCertificate(certificateDer);
  if (certificate.ca || !certificate.checkIssued(authority) || !certificate.verify(authority.publicKey)) {
    throw refused('it was not issued by this server');
  }
  if (now < certificate.validFromDate || now >= certificate.validToDate) {
    throw refused(
      `it is valid from ${certificate.validFromDate.toISOString()} to ${certificate.validToDate.toISOString()}`,
    );
  }
  if (!certificate.keyUsage?.includes(CLIENT_AUTH_OID)) throw refused('it is not for clients');
  const name = /^URI:tinsmith:hardware\/([^\s,"]+)$/.exec(certificate.subjectAltName ?? '')?.[1];
  if (name === undefined) throw refused('it names no Hardware');
  return decodeURIComponent(name);
}

function parseCertificate(der: Uint8Array): NodeCertificate {
  try {
    return new NodeCertificate(der);
  } catch (cause) {
    throw new TinsmithError('unauthenticated', 'the client certificate is refused: it does not parse', { cause });
  }
}

function refused(fact: string): TinsmithError {
  return new TinsmithError('unauthenticated', `the client certificate is refused: ${fact}; restart the machine`);
}

async function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(CURVE, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

/** 159 random bits, positive and not zero (RFC 5280, 4.1.2.2). */
function serialNumber(): string {
  const bytes = randomBytes(20);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}
