import { type Static, Type } from 'typebox';

/**
 * What said of an image, when it was imported, that it is the right one, and was checked: kept with the image's name, so that it can
 * be told long after the files that it was checked with are gone. In the files of names and in the API alike; the descriptions are
 * the API's.
 */
export const vouchedBySchema = Type.Union([
  Type.Object(
    { kind: Type.Literal('sum'), of: Type.Union([Type.Literal('source'), Type.Literal('image')]) },
    { description: 'Whoever ordered the import gave a sum: of the source, or of the image that comes out of it' },
  ),
  // A tag is the registry's own word and vouches for nothing.
  Type.Object({ kind: Type.Literal('digest') }, { description: 'The OCI reference named a digest' }),
  Type.Object(
    {
      kind: Type.Literal('checksums'),
      from: Type.String({ description: 'Path or URL of the list, without passwords' }),
      algorithm: Type.Union([Type.Literal('sha256'), Type.Literal('sha512')]),
    },
    { description: 'A list of checksums named the source' },
  ),
  Type.Object({
    kind: Type.Literal('signature'),
    of: Type.Union([Type.Literal('checksums'), Type.Literal('source')], { description: 'What was signed' }),
    from: Type.String({ description: 'Path or URL of the signature, which may be the list itself; without passwords' }),
    format: Type.Union([Type.Literal('minisign'), Type.Literal('cosign'), Type.Literal('openpgp')]),
    /** See `Signer`. */
    key: Type.String({
      description:
        'Who signed: fingerprint of an OpenPGP key, minisign’s public key itself, SHA-256 of cosign’s (SPKI in DER)',
    }),
  }),
]);
export type VouchedBy = Static<typeof vouchedBySchema>;

/** Whose signature it was. */
export interface Signer {
  readonly format: 'minisign' | 'cosign' | 'openpgp';
  /**
   * As its owner publishes it: the fingerprint of an OpenPGP key (upper-case hex, of the primary key), the public key of minisign
   * itself (base64; its number proves nothing), SHA-256 of cosign's (lower-case hex, of the SPKI in DER).
   */
  readonly key: string;
}
