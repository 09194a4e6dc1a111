import { badSignature } from './signature-errors.ts';

// Sigstore's bundle (sigstore/protobuf-specs, sigstore_bundle.proto, 0.1 to 0.3, as JSON) and the older file of
// `cosign sign-blob --bundle`. Of both only a signature over a file by a key that somebody has: no log and no certificate is looked at.

const NEW_BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle(\+json;version=0\.[123]|\.v0\.3\+json)$/;

/** The signature in a bundle, as DER; undefined: the file is no bundle. Throws `invalid_input` for bundles of another kind. */
export function signatureInBundle(file: Buffer): Buffer | undefined {
  const bundle = readJson(file);
  if (bundle === undefined) return undefined;
  const mediaType = bundle['mediaType'];
  if (mediaType === undefined) return oldSignature(bundle);
  if (typeof mediaType !== 'string' || !NEW_BUNDLE.test(mediaType)) {
    throw badSignature(
      `it is a bundle of the kind ${JSON.stringify(mediaType)}, and only sigstore's 0.1 to 0.3 are known`,
    );
  }
  if (bundle['messageSignature'] === undefined) {
    throw badSignature(
      'its bundle holds an attestation, no signature over a file: make one with cosign sign-blob --key',
    );
  }
  if (objectIn(bundle, 'verificationMaterial')['publicKey'] === undefined) throw keyless();
  return derOf(objectIn(bundle, 'messageSignature')['signature']);
}

function oldSignature(bundle: Readonly<Record<string, unknown>>): Buffer {
  const { base64Signature, cert } = bundle;
  if (base64Signature === undefined) throw badSignature('its JSON is no bundle of cosign or sigstore');
  // With a key it is empty or the key's own PEM.
  if (typeof cert === 'string' && isCertificate(cert)) throw keyless();
  return derOf(base64Signature);
}

function isCertificate(cert: string): boolean {
  return [cert, Buffer.from(cert, 'base64').toString('latin1')].some((text) => text.includes('BEGIN CERTIFICATE'));
}

function keyless() {
  const fact = 'it was made without a key (keyless), and nobody can be asked offline whose certificate that was';
  return badSignature(`${fact}: use one of cosign sign-blob --key`);
}

function derOf(signature: unknown): Buffer {
  if (typeof signature === 'string' && /^[A-Za-z0-9+/=\s]+$/.test(signature)) return Buffer.from(signature, 'base64');
  throw badSignature('the signature in its bundle is no base64');
}

function objectIn(of: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
  return asObject(of[name]) ?? {};
}

function readJson(file: Buffer): Readonly<Record<string, unknown>> | undefined {
  const text = file.toString('utf8').trim();
  if (!text.startsWith('{')) return undefined;
  try {
    return asObject(JSON.parse(text));
  } catch (cause) {
    throw badSignature('its bundle is no JSON that can be read', cause);
  }
}

function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value))
    : undefined;
}
