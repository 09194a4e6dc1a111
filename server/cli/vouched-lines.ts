import type { VouchedByView } from '../api/image-types.ts';

const FORMATS = { minisign: 'minisign', cosign: 'cosign', openpgp: 'OpenPGP' } as const;

/** What vouched for an image when it was imported: a line each, and one where that is nothing or is not known. */
export function vouchedLines(vouchedBy: readonly VouchedByView[] | undefined): readonly string[] {
  if (vouchedBy === undefined) return ['not recorded: it was imported by an older version'];
  return vouchedBy.length === 0 ? ['nothing'] : vouchedBy.map(vouchedLine);
}

function vouchedLine({ kind, of, from, algorithm, format, key }: VouchedByView): string {
  switch (kind) {
    case 'sum':
      return `a SHA-256 of the ${of === 'image' ? 'image' : 'source'} that was given`;
    case 'digest':
      return 'the digest in its OCI reference';
    case 'checksums':
      return `the ${algorithm === 'sha512' ? 'SHA-512' : 'SHA-256'} in the list ${from}`;
    case 'signature': {
      const signed = of === 'checksums' ? 'that list' : 'the source';
      return `the ${format === undefined ? 'unknown' : FORMATS[format]} signature ${from} over ${signed}, by the key ${key}`;
    }
  }
}
