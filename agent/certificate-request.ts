import { type KeyObject, sign } from 'node:crypto';

/*
 * PKCS #10 (RFC 2986), exactly the one request that an agent makes: no attributes, ECDSA with SHA-256 (RFC 5758).
 * Written out because loading an X.509 library takes the agent several times as long as everything else it loads.
 */

/** AlgorithmIdentifier of ecdsa-with-SHA256, 1.2.840.10045.4.3.2. */
const ECDSA_WITH_SHA256 = Buffer.from('300a06082a8648ce3d040302', 'hex');
const OID_COMMON_NAME = Buffer.from('0603550403', 'hex');

/** A certificate request, DER. The common name is only for people who read it: the server decides the identity. */
export function certificateRequest(
  keys: { readonly privateKey: KeyObject; readonly publicKey: KeyObject },
  commonName: string,
): Buffer {
  const attribute = sequence(OID_COMMON_NAME, element(0x0c, Buffer.from(commonName)));
  const info = sequence(
    element(0x02, Buffer.from([0])),
    sequence(element(0x31, attribute)),
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    element(0xa0, Buffer.alloc(0)),
  );
  const signature = sign('sha256', info, keys.privateKey);
  return sequence(info, ECDSA_WITH_SHA256, element(0x03, Buffer.concat([Buffer.from([0]), signature])));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(0x30, Buffer.concat(parts));
}

/** Tag, length (X.690, 8.1.3) and content. */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content]);
  if (length < 0x100) return Buffer.concat([Buffer.from([tag, 0x81, length]), content]);
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), content]);
}
