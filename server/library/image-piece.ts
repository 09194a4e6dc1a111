/** A part of an image as it streams by, in its order: bytes, valid until the next part is asked for, or so many zeros. */
export type ImagePiece = Uint8Array | ZeroRun;

/** Zeros that nobody has to read: a hole, or what an image format says is not there. */
export interface ZeroRun {
  readonly zeros: number;
}
