import { TinsmithError } from '#proto/errors.ts';

// The format is described in the kernel's Documentation/admin-guide/bootconfig.rst: data, a NUL, padding to 4 bytes, then
// the length of all that (u32), the sum of the bytes (u32), both little endian, and the 12 bytes of the magic word.

const MAGIC = Buffer.from('#BOOTCONFIG\n', 'latin1');
/** XBC_DATA_MAX: the kernel refuses more. */
const LONGEST_BYTES = 32 * 1024 - 1;

/** A file that the kernel (or Bottlerocket) takes as boot configuration: what `bootconfig -a` makes of an empty file. */
export function encodeBootconfig(text: string): Buffer {
  checkText(text);
  const data = Buffer.from(`${text}\0`, 'utf8');
  if (data.length > LONGEST_BYTES) {
    throw bad(`is ${data.length} bytes long`, `the kernel takes ${LONGEST_BYTES}: shorten it`);
  }
  const footerBytes = 8 + MAGIC.length;
  const paddedBytes = Math.ceil((data.length + footerBytes) / 4) * 4 - footerBytes;
  const file = Buffer.alloc(paddedBytes + footerBytes);
  data.copy(file);
  file.writeUInt32LE(paddedBytes, paddedBytes);
  file.writeUInt32LE(
    data.reduce((sum, byte) => (sum + byte) >>> 0, 0),
    paddedBytes + 4,
  );
  MAGIC.copy(file, paddedBytes + 8);
  return file;
}

/** The mistakes that make the kernel drop the whole configuration: NUL, open quotes, braces that do not match. */
function checkText(text: string): void {
  if (text.includes('\0')) throw bad('holds a NUL character', 'remove it');
  let depth = 0;
  for (const [token] of text.matchAll(/"[^"]*"|'[^']*'|#[^\n]*|[{}"']/g)) {
    if (token === '{') depth += 1;
    if (token === '}') depth -= 1;
    if (token === '"' || token === "'") throw bad(`has a ${token} that is not closed`, 'close it');
    if (depth < 0) throw bad('closes a brace that was not opened', 'remove a }');
  }
  if (depth > 0) throw bad(`leaves ${depth} brace(s) open`, 'add a }');
}

function bad(fact: string, fix: string): TinsmithError {
  return new TinsmithError('invalid_params', `BOOTCONFIG_CONTENTS ${fact}: ${fix}`);
}
