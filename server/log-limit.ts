import type { LoggerOptions } from 'pino';

/** Lines of one name that are written in one window; a rack that boots at once stays below. */
const MAX_LINES = 300;
const WINDOW_MS = 10_000;
/** Names are a closed set in our code; sentences of libraries might not be. */
const MAX_NAMES = 1000;

interface Window {
  readonly begunAt: number;
  lines: number;
}

/**
 * A pino hook that writes no more than so many lines of one name in a while, so that nobody on the network can fill the disk
 * by what is logged about him. What was left out is counted in a line of its own. `now`: milliseconds that never go back.
 */
export function limitLines(now: () => number): NonNullable<NonNullable<LoggerOptions['hooks']>['logMethod']> {
  const windows = new Map<string, Window>();
  return function limited(args, method) {
    const name = args.find((value: unknown) => typeof value === 'string') ?? '';
    let window = windows.get(name);
    if (window === undefined || now() - window.begunAt >= WINDOW_MS) {
      const leftOut = (window?.lines ?? 0) - MAX_LINES;
      if (leftOut > 0) method.apply(this, [{ name, lines: leftOut }, 'log.leftOut']);
      if (windows.size >= MAX_NAMES) windows.clear();
      window = { begunAt: now(), lines: 0 };
      windows.set(name, window);
    }
    window.lines += 1;
    if (window.lines <= MAX_LINES) method.apply(this, args);
  };
}
