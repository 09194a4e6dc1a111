/**
 * What a 404 of `GET /library/IMAGE/FILE` says: one line of text, for people who ask by curl and for agents, whose actions tell it on.
 * Agents know it again as a whole or not at all: whatever else answers for the server gets no word into an error.
 */
export interface MissingImage {
  /** Name, or `sha256-<digest>`. */
  readonly image: string;
  readonly file: string;
  /** Name of another image, which may be meant. */
  readonly nearest?: string | undefined;
}

/** Without the line's end. */
export function formatMissingImage({ image, file, nearest }: MissingImage): string {
  return `the library has no ${image}/${file}${nearest === undefined ? '' : ` (did you mean ${nearest}?)`}`;
}

/** Of a whole body that is about this very file; undefined: it is something else. */
export function parseMissingImage(
  body: string,
  { image, file }: Pick<MissingImage, 'image' | 'file'>,
): MissingImage | undefined {
  const nearest = / \(did you mean ([a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?)\?\)\n$/.exec(body)?.[1];
  const missing = { image, file, nearest };
  return body === `${formatMissingImage(missing)}\n` ? missing : undefined;
}
