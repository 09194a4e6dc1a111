import assert from 'node:assert/strict';
import type { Disk } from '#agent/machine/machine.ts';

/**
 * A disk that takes what a real one takes past the page cache: whole blocks, at whole blocks, from aligned memory. `damagedAt`: the
 * byte that it gives back differently from what was written.
 */
export function strictDisk(disk: Disk, options: { readonly damagedAt?: number } = {}): Disk {
  const block = disk.logicalBlockBytes;
  const check = (buffer: Uint8Array, offset: number): void => {
    assert.equal(offset % block, 0, `offset ${offset}`);
    assert.equal(buffer.length % block, 0, `length ${buffer.length} at ${offset}`);
    assert.equal(buffer.byteOffset % 512, 0, `memory at ${buffer.byteOffset}`);
    assert.ok(offset + buffer.length <= disk.sizeBytes, `${offset} + ${buffer.length} is beyond the end`);
  };
  return {
    device: disk.device,
    sizeBytes: disk.sizeBytes,
    logicalBlockBytes: block,
    makesZeros: disk.makesZeros,
    read: async (buffer, offset) => {
      check(buffer, offset);
      await disk.read(buffer, offset);
      const at = (options.damagedAt ?? -1) - offset;
      if (at >= 0 && at < buffer.length) buffer[at] = (buffer[at] ?? 0) ^ 1;
    },
    write: async (buffer, offset) => {
      check(buffer, offset);
      await disk.write(buffer, offset);
    },
    zero: (range, waiting) => disk.zero(range, waiting),
    flush: () => disk.flush(),
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  };
}
