interface Kind {
  isDirectory(): boolean;
  isFIFO(): boolean;
  isCharacterDevice(): boolean;
  isBlockDevice(): boolean;
}

/** What something is that cannot be read as a file, and the fix. */
export function noFileFact(kind: Kind): string {
  if (kind.isDirectory()) return 'it is a directory: name the file in it';
  if (kind.isFIFO())
    return 'it is a pipe, which can be read only once: write what comes out of it to a file, and name that';
  if (kind.isCharacterDevice()) return 'it is a character device, which has no end: name a file';
  return kind.isBlockDevice() ? 'it is a block device: name a file' : 'it is no file: name one';
}
