import type { Extent } from './disk-image.ts';

/** The same extents, long plain ones cut to what one read or write takes. What is coded cannot be cut. */
export function* cutExtents(extents: Iterable<Extent>, mostBytes: number): Generator<Extent> {
  for (const extent of extents) {
    if (extent.coding !== 'plain') {
      yield extent;
      continue;
    }
    for (let done = 0; done < extent.diskBytes; done += mostBytes) {
      const bytes = Math.min(mostBytes, extent.diskBytes - done);
      const [diskOffset, fileOffset] = [extent.diskOffset + done, extent.fileOffset + done];
      yield { ...extent, diskOffset, fileOffset, diskBytes: bytes, fileBytes: bytes };
    }
  }
}
