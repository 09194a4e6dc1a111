/**
 * Takes Node's TypeScript compiler out of a binary whose agent is plain JavaScript. Node 24 carries it (amaro) as a WebAssembly
 * module in base64 inside of a JavaScript text, 3.8 MB that compress to 1.4 MB. The text between the quotes becomes spaces: nothing
 * changes its place, and who asks for TypeScript gets an error.
 */

const BEFORE = Buffer.from('var bytes = Buffer2.from("');
const QUOTE = 0x22;
const SPACE = 0x20;
/** No other text of Node's own is as long. */
const SHORTEST = 1 << 20;

/** Trims in place; returns how many bytes became spaces, 0 when the binary holds no such text. */
export function trimTypeScript(binary: Buffer): number {
  for (let at = binary.indexOf(BEFORE); at !== -1; at = binary.indexOf(BEFORE, at + 1)) {
    const start = at + BEFORE.length;
    const end = binary.indexOf(QUOTE, start);
    if (end - start < SHORTEST || !isBase64(binary.subarray(start, end))) continue;
    binary.fill(SPACE, start, end);
    return end - start;
  }
  return 0;
}

function isBase64(text: Buffer): boolean {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text.toString('latin1'));
}
