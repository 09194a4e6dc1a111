/** What the parts of the way can do by themselves, measured in the same run: no write can be faster than the slowest of them. */
import type { BenchPlace } from './bench-images.ts';
import { type Line, timeShell } from './bench-place.ts';

export interface Way {
  readonly title: string;
  readonly imageBytes: number;
  readonly url: string;
  /** What the URL names, on this machine. */
  readonly file: string;
  /** The image itself, on this machine. */
  readonly raw: string;
  /** Such as `zstd -dc`; `cat` for nothing to decode. */
  readonly decoder: string;
  readonly place: BenchPlace;
}

/** Each in MB/s of image, by the program of the field; then the agent's own `rate` as a share of the slowest. */
export async function floorLines(
  { title, imageBytes, url, file, raw, decoder, place }: Way,
  rate: number,
): Promise<readonly Line[]> {
  const zeros = `dd if=/dev/zero of=${place.device} bs=4M count=${imageBytes} iflag=count_bytes,fullblock`;
  const parts = {
    link: `curl -fsS ${url} > /dev/null`,
    decoder: `${decoder} < ${file} > /dev/null`,
    hash: `openssl dgst -sha256 < ${raw} > /dev/null`,
    disk: `${zeros} oflag=direct conv=fsync status=none`,
  };
  const lines: Line[] = [];
  for (const [part, command] of Object.entries(parts)) {
    const { seconds } = await timeShell(command);
    lines.push({ name: `${title}: ${part} alone`, unit: 'MB/s', value: imageBytes / 1e6 / seconds });
  }
  const slowest = lines.reduce((least, line) => (line.value < least.value ? line : least));
  const part = /: (\w+) alone/.exec(slowest.name)?.[1];
  return [
    ...lines,
    { name: `${title}: agent / slowest part, the ${part}`, unit: 'share', value: rate / slowest.value },
  ];
}
