import { TinsmithError } from '#proto/errors.ts';

/**
 * A compressed image is whole and something follows that is neither more of it nor padding. `at` is its place in the file, or the place
 * behind which it begins; `upTo` is given with the latter.
 */
export function trailingData(format: string, at: number, upTo?: number): TinsmithError {
  const place = upTo === undefined ? `at byte ${at}` : `between byte ${at} and byte ${upTo}`;
  const fix =
    upTo === undefined
      ? `if the image ends there, cut the file off with truncate --size=${at}, otherwise make it again`
      : 'make the file again, of the image alone';
  const sentence = `data that is no ${format} follows behind the end of the compressed image, ${place} of the file: ${fix}`;
  return new TinsmithError('corrupt_image', sentence);
}
