/** One entry as it stands in the archive, right or wrong. */
export interface TarFileEntry {
  readonly name: string;
  /** Default: a file. */
  readonly type?: string;
  readonly linkName?: string;
  readonly content?: Buffer;
  readonly mode?: number;
  /** Default: the length of the content. */
  readonly sizeBytes?: number;
}

/** One record of a pax header: its length counts itself. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const digits = String(rest.length).length;
  const length = rest.length + digits;
  return `${String(length).length === digits ? length : length + 1}${rest}`;
}

/** A ustar archive with whatever names a hostile one would have; padded as GNU tar does. */
export function tarFile(entries: readonly TarFileEntry[], options: { readonly endMark?: boolean } = {}): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = entry.content ?? Buffer.alloc(0);
    return [header(entry, content.length), content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  if (options.endMark === false) return Buffer.concat(parts);
  const length = parts.reduce((sum, part) => sum + part.length, 0) + 1024;
  return Buffer.concat([...parts, Buffer.alloc(1024 + ((10_240 - (length % 10_240)) % 10_240))]);
}

function header({ name, type = '0', linkName = '', mode = 0o644, sizeBytes }: TarFileEntry, length: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100, 'latin1');
  block.write(`${mode.toString(8).padStart(7, '0')}\0`, 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  block.write(`${(sizeBytes ?? length).toString(8).padStart(11, '0')}\0`, 124);
  block.write('14000000000\0', 136);
  block.write(type, 156);
  block.write(linkName, 157, 100, 'latin1');
  block.write('ustar\x0000', 257, 'latin1');
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
