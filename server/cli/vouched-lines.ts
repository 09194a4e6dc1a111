import type { VouchedByView } from '../api/image-types.ts';

const FORMATS = { minisign: 'minisign', cosign: 'cosign', openpgp: 'OpenPGP' } as const;

/** What vouched for an image when it was imported: a line each, and one where that is nothing or is not known. */
export function vouchedLines(vouchedBy: readonly VouchedByView[] | undefined): readonly string[] {
  if (vouchedBy === undefined) return ['not recorded: it was imported by an older version'];
  return vouchedBy.length === 0 ? ['nothing'] : vouchedBy.map(vouchedLine);
}

function vouchedLine(by: VouchedByView): string {
  switch (by.kind) {
    case 'sum':
      return `a SHA-256 of the ${by.of} that was given`;
    case 'digest':
      return 'the digest in its OCI reference';
    case 'checksums':
      return `the ${by.algorithm === 'sha512' ? 'SHA-512' : 'SHA-256'} in the list ${by.from}`;
    case 'signature': {
      const signed = by.of === 'checksums' ? 'that list' : 'the source';
      return `the ${FORMATS[by.format]} signature ${by.from} over ${signed}, by the key ${by.key}`;
    }
  }
}
