import { MAX_LOG_LINE_BYTES } from '#proto/agent-service-definition.ts';
import { Pulse } from './pulse.ts';
import { type LogLine, type ProgressReport, type Report, type TaskRef, taskKey } from './report.ts';

/** Lines are sent together if they come within this time. */
const LOG_BATCH_MS = 250;
const LOG_BATCH_BYTES = 64 * 1024;
const PROGRESS_INTERVAL_MS = 500;
/** Memory for log lines that are not acknowledged yet. A machine may have 384 MiB in all. */
const DEFAULT_LIMIT_BYTES = 4 * 1024 * 1024;
/** What a line costs beside its text. */
const LINE_OVERHEAD_BYTES = 64;

export interface OutboxEntry {
  /** Ascending from 1. Numbers are missing where lines were dropped. */
  readonly sequence: number;
  readonly report: Report;
}

/** What to send now, or how long to wait if nothing else happens (undefined: until something does). */
export type NextToSend =
  | { readonly entry: OutboxEntry }
  | { readonly progress: ProgressReport }
  | { readonly waitMs: number | undefined };

interface Kept {
  readonly sequence: number;
  report: Report;
  /** The report's own list while it may grow. */
  readonly lines: LogLine[];
  readonly addedAt: number;
  bytes: number;
  /** No more lines are added: it may have been sent. */
  isClosed: boolean;
  droppedLines: number;
}

/**
 * The reports that the server has not acknowledged. It outlives connections: what was sent and not acknowledged is sent
 * again. Reports about states are never dropped (there are a few for each action); log lines are, oldest first, when they
 * take more memory than they may, and one line says how many are missing.
 */
export class Outbox {
  readonly #limitBytes: number;
  readonly #now: () => number;
  readonly #changed = new Pulse();
  #kept: Kept[] = [];
  #lastSequence = 0;
  #logBytes = 0;
  #progress: ProgressReport | undefined;
  #progressSentAt = Number.NEGATIVE_INFINITY;

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(options: { readonly now: () => number; readonly limitBytes?: number }) {
    this.#now = options.now;
    this.#limitBytes = options.limitBytes ?? DEFAULT_LIMIT_BYTES;
  }

  /** Whether everything is acknowledged. */
  get isSettled(): boolean {
    return this.#kept.length === 0;
  }

  add(report: Exclude<Report, { kind: 'actionLog' }>): void {
    // A finished action has no progress; the next one brings its own.
    if (report.kind === 'actionFinished') this.#progress = undefined;
    this.#append(report, 0);
  }

  addLogLine(task: TaskRef, action: number, line: LogLine): void {
    const cut = cutLine(line);
    const bytes = Buffer.byteLength(cut.text) + LINE_OVERHEAD_BYTES;
    const last = this.#kept.at(-1);
    if (last !== undefined && takesLine(last, { task, action, bytes })) {
      last.lines.push(cut);
      last.bytes += bytes;
    } else {
      const lines = [cut];
      this.#append({ kind: 'actionLog', task, action, lines }, bytes, lines);
    }
    this.#logBytes += bytes;
    this.#dropOldLines();
  }

  /** Replaces what was not sent yet. */
  setProgress(progress: ProgressReport): void {
    this.#progress = progress;
    this.#changed.fire();
  }

  /** Forgets everything up to and including `sequence`. Old or repeated acknowledgements change nothing. */
  acknowledge(sequence: number): void {
    const count = this.#indexAfter(sequence);
    if (count === 0) return;
    for (const kept of this.#kept.splice(0, count)) this.#logBytes -= kept.bytes;
    this.#changed.fire();
  }

  /** What follows `sequence` on this connection. An entry that is given out stays here until it is acknowledged. */
  next(sequence: number): NextToSend {
    const kept = this.#kept[this.#indexAfter(sequence)];
    const waits: number[] = [];
    if (kept !== undefined) {
      const waitMs = this.#batchWaitMs(kept);
      if (waitMs === 0) {
        kept.isClosed = true;
        return { entry: { sequence: kept.sequence, report: kept.report } };
      }
      waits.push(waitMs);
    }
    if (this.#progress !== undefined) {
      const waitMs = this.#progressSentAt + PROGRESS_INTERVAL_MS - this.#now();
      if (waitMs <= 0) return { progress: this.#takeProgress(this.#progress) };
      waits.push(waitMs);
    }
    return { waitMs: waits.length === 0 ? undefined : Math.min(...waits) };
  }

  /** Resolves when something was added or acknowledged, or after `timeoutMs`. */
  async changed(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    await this.#changed.wait(signal, timeoutMs);
  }

  /** Resolves when everything is acknowledged. */
  async settled(signal: AbortSignal): Promise<void> {
    while (!this.isSettled) await this.#changed.wait(signal);
  }

  #append(report: Report, bytes: number, lines: LogLine[] = []): void {
    this.#lastSequence += 1;
    this.#kept.push({
      sequence: this.#lastSequence,
      report,
      lines,
      addedAt: this.#now(),
      bytes,
      isClosed: false,
      droppedLines: 0,
    });
    this.#changed.fire();
  }

  #takeProgress(progress: ProgressReport): ProgressReport {
    this.#progress = undefined;
    this.#progressSentAt = this.#now();
    return progress;
  }

  /** Milliseconds that an entry still waits for more lines; 0: send it. */
  #batchWaitMs(kept: Kept): number {
    const mayGrow = kept.report.kind === 'actionLog' && !kept.isClosed && kept === this.#kept.at(-1);
    if (!mayGrow || kept.bytes >= LOG_BATCH_BYTES) return 0;
    return Math.max(0, kept.addedAt + LOG_BATCH_MS - this.#now());
  }

  /** Index of the first entry with a greater sequence. */
  #indexAfter(sequence: number): number {
    let low = 0;
    let high = this.#kept.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#kept[middle]?.sequence ?? 0) > sequence) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #dropOldLines(): void {
    if (this.#logBytes <= this.#limitBytes) return;
    // To three quarters, so that the next line does not walk through all entries again.
    const goalBytes = (this.#limitBytes * 3) / 4;
    const remaining: Kept[] = [];
    for (const kept of this.#kept) {
      if (kept.report.kind !== 'actionLog' || kept === this.#kept.at(-1) || this.#logBytes <= goalBytes) {
        remaining.push(kept);
        continue;
      }
      const dropped = kept.droppedLines === 0 ? kept.report.lines.length : kept.droppedLines;
      const before = remaining.at(-1);
      if (before?.report.kind === 'actionLog' && before.droppedLines > 0 && sameAction(before.report, kept.report)) {
        this.#logBytes -= kept.bytes;
        before.droppedLines += dropped;
        before.report = droppedReport(before.report, before.droppedLines);
        continue;
      }
      this.#logBytes += LINE_OVERHEAD_BYTES - kept.bytes;
      kept.bytes = LINE_OVERHEAD_BYTES;
      kept.droppedLines = dropped;
      kept.report = droppedReport(kept.report, dropped);
      kept.isClosed = true;
      remaining.push(kept);
    }
    this.#kept = remaining;
  }
}

type LogReport = Extract<Report, { kind: 'actionLog' }>;

function takesLine(
  kept: Kept,
  line: { readonly task: TaskRef; readonly action: number; readonly bytes: number },
): boolean {
  if (kept.isClosed || kept.report.kind !== 'actionLog') return false;
  return sameAction(kept.report, line) && kept.bytes + line.bytes <= LOG_BATCH_BYTES;
}

function sameAction(
  a: { readonly task: TaskRef; readonly action: number },
  b: { readonly task: TaskRef; readonly action: number },
): boolean {
  return a.action === b.action && taskKey(a.task) === taskKey(b.task);
}

function droppedReport(report: LogReport, count: number): LogReport {
  const at = report.lines[0]?.at ?? new Date(0);
  const text = `${count} lines were dropped here: the server could not be reached for too long`;
  return { ...report, lines: [{ at, stream: 'agent', text }] };
}

function cutLine(line: LogLine): LogLine {
  if (line.text.length <= MAX_LOG_LINE_BYTES / 4 || Buffer.byteLength(line.text) <= MAX_LOG_LINE_BYTES) return line;
  const text = Buffer.from(line.text)
    .subarray(0, MAX_LOG_LINE_BYTES - 16)
    .toString();
  return { ...line, text: `${text} …` };
}
