import { type Static, Type } from 'typebox';

/**
 * What said of an image, when it was imported, that it is the right one, and was checked: kept with the image's name, so that it can
 * be told long after the files that it was checked with are gone.
 */
export const vouchedBySchema = Type.Union([
  /** Whoever ordered the import gave a sum: of the source, or of the image that comes out of it. */
  Type.Object({ kind: Type.Literal('sum'), of: Type.Union([Type.Literal('source'), Type.Literal('image')]) }),
  /** An OCI reference that names a digest. A tag is the registry's own word and vouches for nothing. */
  Type.Object({ kind: Type.Literal('digest') }),
  Type.Object({
    kind: Type.Literal('checksums'),
    /** Path or URL of the list, without what may be secret. */
    from: Type.String(),
    algorithm: Type.Union([Type.Literal('sha256'), Type.Literal('sha512')]),
  }),
  Type.Object({
    kind: Type.Literal('signature'),
    /** What was signed: the list of checksums, or the source. */
    of: Type.Union([Type.Literal('checksums'), Type.Literal('source')]),
    /** Path or URL of the signature, which may be the list itself. */
    from: Type.String(),
    format: Type.Union([Type.Literal('minisign'), Type.Literal('cosign'), Type.Literal('openpgp')]),
    /** See `Signer`. */
    key: Type.String(),
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
