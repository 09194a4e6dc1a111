/** Reads what a kernel image says of itself: Documentation/x86/boot.rst ("The Linux/x86 Boot Protocol"). */
import { open } from 'node:fs/promises';
import { TinsmithError } from '#proto/errors.ts';

const HEADER_BYTES = 64 * 1024;
const BOOT_MAGIC_AT = 0x202;
const VERSION_POINTER_AT = 0x20e;
const SETUP_START = 0x200;

/**
 * The release (`uname -r`) of an x86 bzImage; undefined for images of other architectures, which do not carry it in plain.
 * @throws TinsmithError `not_found` when there is no such file.
 */
export async function kernelRelease(file: string): Promise<string | undefined> {
  await using handle = await open(file).catch((error: unknown) => {
    throw new TinsmithError('not_found', `cannot read kernel ${file}: no such file`, { cause: error });
  });
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(HEADER_BYTES), 0, HEADER_BYTES, 0);
  const head = buffer.subarray(0, bytesRead);
  if (head.length < SETUP_START + 0x60 || head.toString('latin1', BOOT_MAGIC_AT, BOOT_MAGIC_AT + 4) !== 'HdrS')
    return undefined;
  const start = SETUP_START + head.readUInt16LE(VERSION_POINTER_AT);
  const text = head.toString('latin1', start, start + 256);
  return /^[\w.+~-]+/.exec(text)?.[0];
}
