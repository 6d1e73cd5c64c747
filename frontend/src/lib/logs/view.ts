import type { Level, LogLine, Source } from "../api/types";
import { type HealthCheck, isHealthCheck, isOfCheck } from "./health";
import { type Entry, isNote, type LogStore } from "./store";
import { plain } from "./text";

export interface LogFilter {
  /** `WARN` means `WARNING`. */
  levels: readonly (Level | "WARN")[];
  sources: readonly Source[];
  /** Only lines that are known to be of standard error. */
  onlyStderr?: boolean;
  /** Leave out lines that are printed for the service's own requests. */
  hidesChecks?: boolean;
  /** Leave out access lines of these, where lines do not say for which request they are. */
  without?: HealthCheck | null;
  /** Lines that are shown all the same, as somebody here has asked for that path. */
  isOwn?: (line: LogLine) => boolean;
}

/** Lines that a pattern is found in, and so many before and after each. */
export interface Around {
  pattern: RegExp;
  lines: number;
}

export const LEVELS: readonly Level[] = ["DEBUG", "INFO", "WARNING", "ERROR"];
export const SOURCES: readonly Source[] = ["subprocess", "system"];
export const EVERYTHING: LogFilter = { levels: LEVELS, sources: SOURCES };

export function isEverything(filter: LogFilter): boolean {
  return isUnfiltered(filter) && (filter.without ?? null) === null && !filter.hidesChecks;
}

/** Whether each level, source and stream is let through. */
export function isUnfiltered(filter: LogFilter): boolean {
  if (filter.onlyStderr) return false;
  return LEVELS.every((level) => hasLevel(filter, level)) && SOURCES.every((one) => filter.sources.includes(one));
}

export function passes(filter: LogFilter, line: LogLine): boolean {
  if (filter.onlyStderr && line.stream !== "stderr") return false;
  return hasLevel(filter, line.level) && filter.sources.includes(line.source) && !isHidden(filter, line);
}

/** Whether lines of this level are let through. */
export function hasLevel({ levels }: LogFilter, level: Level): boolean {
  return levels.includes(level) || (level === "WARNING" && levels.includes("WARN"));
}

/** What is left out of sight, whatever levels are shown. */
export type Hiding = Pick<LogFilter, "hidesChecks" | "without" | "isOwn">;

export function isHidden({ hidesChecks, without, isOwn }: Hiding, line: LogLine): boolean {
  if (hidesChecks && isOfCheck(line)) return true;
  if (line.request_id !== undefined) return false;
  return without != null && isHealthCheck(line, without) && !isOwn?.(line);
}

/**
 * What of a store is shown: a sequence with positions of its own, which follows the store.
 *
 * Without a filter it is the store itself; with one it keeps the positions of what passes, and looks at each entry once.
 */
export class LogView {
  readonly store: LogStore;
  readonly filter: LogFilter;
  readonly #all: boolean;
  readonly #around: Around | null;
  #shown: number[] = [];
  /** Positions in the store of health checks that are left out, and of notes. */
  #hidden: number[] = [];
  #notes: number[] = [];
  #dropped = 0;
  /** Lines that passed since the last match and its neighbours; and how many are still neighbours. */
  #before: number[] = [];
  #left = 0;
  #seenFrom: number;
  #seenTo: number;

  constructor(store: LogStore, filter: LogFilter = EVERYTHING, around: Around | null = null) {
    this.store = store;
    this.filter = filter;
    this.#around = around && {
      ...around,
      pattern: new RegExp(around.pattern.source, around.pattern.flags.replace("g", "")),
    };
    this.#all = around === null && isEverything(filter);
    this.#seenFrom = this.#seenTo = store.end;
    this.sync();
  }

  get first(): number {
    return this.#all ? this.store.first : this.#dropped;
  }

  get end(): number {
    return this.#all ? this.store.end : this.#dropped + this.#shown.length;
  }

  at(position: number): Entry | undefined {
    if (this.#all) return this.store.at(position);
    const inStore = this.#shown[position - this.#dropped];
    return inStore === undefined ? undefined : this.store.at(inStore);
  }

  slice(from: number, to: number): Entry[] {
    if (this.#all) return this.store.slice(from, to);
    const found: Entry[] = [];
    for (let at = Math.max(from, this.first); at < Math.min(to, this.end); at += 1) {
      const entry = this.at(at);
      if (entry) found.push(entry);
    }
    return found;
  }

  /** Position of the first entry that is numbered `seq` or higher; `end` where there is none. */
  positionOf(seq: number): number {
    let [low, high] = [this.first, this.end];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((this.at(middle)?.seq ?? 0) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** How many health checks of those here are left out. */
  get hidden(): number {
    return this.#hidden.length;
  }

  /** How many lines are shown, notes of the page left out. */
  get lines(): number {
    if (this.#all) return this.store.lines;
    return this.end - this.first - (this.#around ? 0 : this.#notes.length);
  }

  /** Take in what the store has got or lost since. */
  sync(): void {
    if (this.#all) return;
    const { store } = this;
    if (this.#seenTo < store.first) this.#seenFrom = this.#seenTo = store.first;
    this.#hidden = since(store.first, this.#hidden);
    this.#notes = since(store.first, this.#notes);
    this.#before = since(store.first, this.#before);
    for (const at of this.#near(this.#passing(this.#seenTo, store.end))) this.#shown.push(at);
    this.#seenTo = store.end;
    if (store.first < this.#seenFrom) {
      const older = this.#nearOlder(this.#passing(store.first, this.#seenFrom));
      this.#shown = [...older, ...this.#shown];
      this.#dropped -= older.length;
      this.#hidden.sort((a, b) => a - b);
      this.#notes.sort((a, b) => a - b);
    }
    this.#seenFrom = store.first;
    const gone = this.#shown.findIndex((at) => at >= store.first);
    const drop = gone === -1 ? this.#shown.length : gone;
    if (drop > 0) {
      this.#shown.splice(0, drop);
      this.#dropped += drop;
    }
  }

  /** Of lines that pass, those that match and their neighbours; what is left may still become one by later lines. */
  #near(passing: number[]): number[] {
    if (!this.#around) return passing;
    const found: number[] = [];
    for (const at of passing) {
      if (this.#matches(at)) {
        found.push(...this.#before, at);
        this.#before = [];
        this.#left = this.#around.lines;
      } else if (this.#left > 0) {
        found.push(at);
        this.#left -= 1;
      } else if (this.#around.lines > 0) {
        this.#before.push(at);
        if (this.#before.length > this.#around.lines) this.#before.shift();
      }
    }
    return found;
  }

  /** The same for older lines, apart from those that were here. */
  #nearOlder(passing: number[]): number[] {
    const [before, left] = [this.#before, this.#left];
    [this.#before, this.#left] = [[], 0];
    const found = this.#near(passing);
    [this.#before, this.#left] = [before, left];
    return found;
  }

  #matches(at: number): boolean {
    const entry = this.store.at(at);
    return entry !== undefined && !isNote(entry) && this.#around?.pattern.test(plain(entry.message)) === true;
  }

  #passing(from: number, to: number): number[] {
    const found: number[] = [];
    for (let at = from; at < to; at += 1) {
      const entry = this.store.at(at);
      if (!entry) continue;
      if (isNote(entry)) this.#notes.push(at);
      else if (isHidden(this.filter, entry)) this.#hidden.push(at);
      if (isNote(entry) || passes(this.filter, entry)) found.push(at);
    }
    return found;
  }
}

function since(first: number, sorted: number[]): number[] {
  return (sorted[0] ?? first) < first ? sorted.filter((at) => at >= first) : sorted;
}
