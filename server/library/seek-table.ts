/**
 * zstd's "seekable format" (contrib/seekable_format in zstd's sources), version 0.1.0: a skippable frame at the end of the file
 * that lists the sizes of all frames, so that other tools can seek in it as well.
 */
export function seekTable(frames: readonly { readonly fileBytes: number; readonly imageBytes: number }[]): Buffer {
  const entryBytes = 8;
  const table = Buffer.alloc(HEAD_BYTES + frames.length * entryBytes + FOOT_BYTES);
  table.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  table.writeUInt32LE(table.length - HEAD_BYTES, 4);
  for (const [index, { fileBytes, imageBytes }] of frames.entries()) {
    const at = HEAD_BYTES + index * entryBytes;
    table.writeUInt32LE(fileBytes, at);
    table.writeUInt32LE(imageBytes, at + 4);
  }
  const foot = table.length - FOOT_BYTES;
  table.writeUInt32LE(frames.length, foot);
  // The descriptor byte stays 0: no checksums, ours are in the index.
  table.writeUInt32LE(SEEKABLE_MAGIC, foot + 5);
  return table;
}

const HEAD_BYTES = 8;
const FOOT_BYTES = 9;
const SKIPPABLE_MAGIC = 0x184d_2a5e;
const SEEKABLE_MAGIC = 0x8f92_eab1;
