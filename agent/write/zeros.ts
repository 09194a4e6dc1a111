/** Memory of zeros says so of itself: its first byte is zero, and each is as the one before it. Of no bytes nothing is said: false. */
export function isZeros(bytes: Buffer): boolean {
  return bytes[0] === 0 && bytes.compare(bytes, 1, bytes.length, 0, bytes.length - 1) === 0;
}
