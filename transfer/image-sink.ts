import { yieldThread } from './yield-thread.ts';

/** Where decoders put the image: they fill `space()` and say how much with `advance`. */
export interface ImageSink {
  /** The memory that comes next; never empty. Valid until the next `advance`. */
  space(): Buffer;
  /** Waits only while the disk is behind. Throws when the image is longer than the disk. */
  advance(bytes: number): Promise<void>;
}

/** Copies `bytes` into the sink. What decodes on this thread comes by here, so the thread is yielded here. */
export async function putBytes(sink: ImageSink, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const space = sink.space();
    const count = Math.min(space.length, bytes.length - done);
    space.set(bytes.subarray(done, done + count));
    done += count;
    await sink.advance(count);
    await yieldThread();
  }
}
