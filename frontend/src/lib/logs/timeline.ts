import type { Level, LogLine, Source } from "../api/types";
import { isNote, type LogStore } from "./store";

/** Lines of one span of time, by level. */
export interface Bucket {
  /** Milliseconds since the epoch; `toMs` is the first one after it. */
  fromMs: number;
  toMs: number;
  lines: number;
  warnings: number;
  errors: number;
}

export interface TimelineCounts {
  levels: Readonly<Record<Level, number>>;
  sources: Readonly<Record<Source, number>>;
  streams: Readonly<Record<"stderr", number>>;
  buckets: readonly Bucket[];
}

/** Spans that people think in, in seconds. */
const SPANS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800];
export const MOST_BUCKETS = 60;
/** `2026-01-01T00:00:00`: what the service writes before the fraction of a second. */
const SECOND_CHARS = 19;

interface Second {
  atMs: number;
  lines: number;
  warnings: number;
  errors: number;
}

/** Counts the lines of a store by level, by source and by second. Each line is looked at once. */
export class Timeline {
  readonly #store: LogStore;
  readonly #isHidden: (line: LogLine) => boolean;
  #levels: Record<Level, number> = { DEBUG: 0, INFO: 0, WARNING: 0, ERROR: 0 };
  #sources: Record<Source, number> = { subprocess: 0, system: 0 };
  #stderr = 0;
  #seconds = new Map<string, Second>();
  #from = 0;
  #to = 0;
  #round = -1;
  /** The second of the last line: most lines are of the same one. */
  #last: { stamp: string; second: Second } | null = null;

  /** Lines that are hidden are not counted. */
  constructor(store: LogStore, isHidden: (line: LogLine) => boolean = () => false) {
    this.#store = store;
    this.#isHidden = isHidden;
  }

  /** The counts of all lines that are here now. */
  counts(): TimelineCounts {
    const { first, end, round } = this.#store;
    // Lines that have gone cannot be counted back: those that are here are counted again.
    if (round !== this.#round || first > this.#from || end < this.#to) this.#begin(first, round);
    this.#count(first, this.#from);
    this.#count(this.#to, end);
    [this.#from, this.#to] = [first, end];
    return {
      levels: { ...this.#levels },
      sources: { ...this.#sources },
      streams: { stderr: this.#stderr },
      buckets: bucketsOf([...this.#seconds.values()]),
    };
  }

  #begin(first: number, round: number): void {
    this.#levels = { DEBUG: 0, INFO: 0, WARNING: 0, ERROR: 0 };
    this.#sources = { subprocess: 0, system: 0 };
    this.#stderr = 0;
    this.#seconds = new Map();
    this.#last = null;
    [this.#from, this.#to, this.#round] = [first, first, round];
  }

  #count(from: number, to: number): void {
    for (let at = from; at < to; at += 1) {
      const entry = this.#store.at(at);
      if (!entry || isNote(entry) || this.#isHidden(entry)) continue;
      this.#levels[entry.level] += 1;
      this.#sources[entry.source] += 1;
      if (entry.stream === "stderr") this.#stderr += 1;
      const second = this.#secondOf(entry.timestamp);
      if (!second) continue;
      second.lines += 1;
      if (entry.level === "ERROR") second.errors += 1;
      else if (entry.level === "WARNING") second.warnings += 1;
    }
  }

  #secondOf(timestamp: string): Second | null {
    if (this.#last && timestamp.startsWith(this.#last.stamp)) return this.#last.second;
    const stamp = timestamp.slice(0, SECOND_CHARS);
    let second = this.#seconds.get(stamp);
    if (!second) {
      const atMs = Date.parse(`${stamp}Z`);
      if (Number.isNaN(atMs)) return null;
      second = { atMs, lines: 0, warnings: 0, errors: 0 };
      this.#seconds.set(stamp, second);
    }
    this.#last = { stamp, second };
    return second;
  }
}

/** Seconds as at most `MOST_BUCKETS` spans of one length, which begin at round times. */
export function bucketsOf(seconds: readonly Second[]): Bucket[] {
  let [low, high] = [Infinity, -Infinity];
  for (const { atMs } of seconds) [low, high] = [Math.min(low, atMs), Math.max(high, atMs)];
  if (seconds.length === 0) return [];
  const range = high - low + 1_000;
  const spanS =
    SPANS_S.find((one) => range / (one * 1_000) <= MOST_BUCKETS - 1) ?? Math.ceil(range / 1_000 / (MOST_BUCKETS - 1));
  const span = spanS * 1_000;
  const start = Math.floor(low / span) * span;
  const made: Bucket[] = Array.from({ length: Math.floor((high - start) / span) + 1 }, (_, at) => ({
    ...{ fromMs: start + at * span, toMs: start + (at + 1) * span },
    ...{ lines: 0, warnings: 0, errors: 0 },
  }));
  for (const one of seconds) {
    const bucket = made[Math.floor((one.atMs - start) / span)];
    if (!bucket) continue;
    bucket.lines += one.lines;
    bucket.warnings += one.warnings;
    bucket.errors += one.errors;
  }
  return made;
}

/** The terms of the filter language that select a range of time. */
export function rangeTerms(fromMs: number, toMs: number): [string, string] {
  return [`since:${new Date(fromMs).toISOString()}`, `until:${new Date(toMs - 1).toISOString()}`];
}
