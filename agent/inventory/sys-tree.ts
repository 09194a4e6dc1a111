import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';

/**
 * Reads the small files of /sys and /proc below any root. What cannot be read is not there: attributes are missing, root-only,
 * or answer with an error (a NIC that is down has no carrier) on one machine or another, and none is worth failing for.
 *
 * It reads at once, not by the thread pool: the kernel answers from memory in microseconds, and a pooled read of so small a
 * file is four hops that cost many times as much. Only the shape is asynchronous.
 */
export class SysTree {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  async bytes(path: string): Promise<Buffer | undefined> {
    return orUndefined(() => readFileSync(join(this.#root, path)));
  }

  /** Without white space around it and without NULs; undefined when empty. */
  async text(path: string): Promise<string | undefined> {
    const bytes = await this.bytes(path);
    const text = bytes?.toString('utf8').replaceAll('\0', '').trim();
    return text === '' ? undefined : text;
  }

  async number(path: string): Promise<number | undefined> {
    const text = await this.text(path);
    return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
  }

  /** Sorted, numbers by their value; empty when there is no such folder. */
  async names(path: string): Promise<readonly string[]> {
    const names = orUndefined(() => readdirSync(join(this.#root, path)));
    return (names ?? []).toSorted(naturalOrder);
  }

  async has(path: string): Promise<boolean> {
    return orUndefined(() => statSync(join(this.#root, path))) !== undefined;
  }

  /** Last part of where a link points. */
  async linkName(path: string): Promise<string | undefined> {
    const target = orUndefined(() => readlinkSync(join(this.#root, path)));
    return target === undefined ? undefined : basename(target);
  }

  /** The path with all links followed. */
  async realPath(path: string): Promise<string | undefined> {
    return orUndefined(() => realpathSync(join(this.#root, path)));
  }
}

/** `cpu9` before `cpu10`. By hand: the packed agent's ICU data is trimmed, and Intl is slow to start. */
function naturalOrder(a: string, b: string): number {
  const [left, right] = [a.match(/\d+|\D+/g) ?? [], b.match(/\d+|\D+/g) ?? []];
  for (const [index, part] of left.entries()) {
    const other = right[index] ?? '';
    const difference = Number(part) - Number(other);
    if (Number.isFinite(difference) && difference !== 0) return difference;
    if (part !== other) return part < other ? -1 : 1;
  }
  return left.length - right.length;
}

function orUndefined<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
