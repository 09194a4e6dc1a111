/**
 * Memory for O_DIRECT: the kernel takes only buffers that start on a page. A resizable ArrayBuffer is the page-aligned kind that
 * plain JavaScript can have: V8 maps it by itself (Buffer.alloc is 16 bytes off a page: EINVAL; WebAssembly memory is aligned,
 * too, but reserves gigabytes of address space). `sizeBytes` is a multiple of 4096; all bytes are zero.
 */
export function alignedBuffer(sizeBytes: number): Buffer {
  return Buffer.from(new ArrayBuffer(sizeBytes, { maxByteLength: sizeBytes }), 0, sizeBytes);
}

/** Several of them that other threads can be shown as well. */
export function sharedBuffers(count: number, sizeBytes: number): Buffer[] {
  const bytes = count * sizeBytes;
  const memory = new SharedArrayBuffer(bytes, { maxByteLength: bytes });
  return Array.from({ length: count }, (_, i) => Buffer.from(memory, i * sizeBytes, sizeBytes));
}
