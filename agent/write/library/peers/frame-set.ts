/** Some of an image's frames by their number: one bit each, so that it travels well (the first frame is the lowest bit of byte 0). */
export class FrameSet {
  readonly frames: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  #count = 0;

  /** Empty, or what `bytes` say: they are copied. Undefined: `bytes` are not those of a set of `frames`. */
  static from(bytes: Uint8Array, frames: number): FrameSet | undefined {
    const set = new FrameSet(frames);
    if (bytes.length !== set.bytes.length) return undefined;
    for (let frame = 0; frame < frames; frame++) {
      if ((((bytes[frame >> 3] ?? 0) >> (frame & 7)) & 1) === 1) set.add(frame);
    }
    return set;
  }

  constructor(frames: number) {
    this.frames = frames;
    this.bytes = new Uint8Array(Math.ceil(frames / 8));
  }

  get count(): number {
    return this.#count;
  }

  has(frame: number): boolean {
    return (((this.bytes[frame >> 3] ?? 0) >> (frame & 7)) & 1) === 1;
  }

  add(frame: number): void {
    if (frame < 0 || frame >= this.frames || this.has(frame)) return;
    this.bytes[frame >> 3] = (this.bytes[frame >> 3] ?? 0) | (1 << (frame & 7));
    this.#count += 1;
  }

  remove(frame: number): void {
    if (!this.has(frame)) return;
    this.bytes[frame >> 3] = (this.bytes[frame >> 3] ?? 0) & ~(1 << (frame & 7));
    this.#count -= 1;
  }
}
