import type { GapEvent, LogLine } from "../api/types";

/** Something that was noted between two lines. `seq` is where it belongs. */
export interface Note {
  kind: "gap" | "note";
  seq: number;
  text: string;
}

export type Entry = LogLine | Note;

export function isNote(entry: Entry): entry is Note {
  return "kind" in entry;
}

/** What the browser keeps of one preview; the service has the rest. */
export const MAX_LINES = 200_000;
/** UTF-16 units: some 100 MiB at the most. */
export const MAX_CHARS = 48 * 1024 * 1024;
/** Trimmed in steps: one splice for many lines. */
const STEP = 0.1;
/** While somebody reads what is old, it may be so many times as much before that is taken from under their eyes. */
const HELD = 2;

/**
 * The lines of one preview, oldest first, bounded in number and size.
 *
 * A position is a number that stays with its entry while older ones come (to the left of it) or go; positions count
 * from `first` to `end`.
 */
export class LogStore {
  readonly maxLines: number;
  readonly maxChars: number;
  /** Whether numbers are left out, as a filter does: that is no gap. */
  readonly #isSparse: boolean;
  #entries: Entry[] = [];
  #first = 0;
  #chars = 0;
  #version = 0;
  #round = 0;
  #firstSeq = 0;
  #lastSeq = 0;
  #floorSeq = 1;
  #isHeld = false;
  #notes = 0;
  /** What was cleared from the view, to be shown again. */
  #cleared: { entries: Entry[]; firstSeq: number; floorSeq: number; chars: number; notes: number } | null = null;
  #listeners = new Set<() => void>();

  constructor(limits: { maxLines?: number; maxChars?: number; isSparse?: boolean } = {}) {
    this.#isSparse = limits.isSparse ?? false;
    this.maxLines = limits.maxLines ?? MAX_LINES;
    this.maxChars = limits.maxChars ?? MAX_CHARS;
  }

  /** Position of the oldest entry. */
  get first(): number {
    return this.#first;
  }

  /** Position behind the newest entry. */
  get end(): number {
    return this.#first + this.#entries.length;
  }

  get length(): number {
    return this.#entries.length;
  }

  /** Number of the oldest line here; 0 if there is none. */
  get firstSeq(): number {
    return this.#firstSeq;
  }

  /** Number of the newest line that ever came; 0 if none did. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** How many lines are here, notes left out. */
  get lines(): number {
    return this.#entries.length - this.#notes;
  }

  /** Whether lines were cleared that can be shown again. */
  get hasCleared(): boolean {
    return this.#cleared !== null;
  }

  /** Grows with each change. */
  get version(): number {
    return this.#version;
  }

  /** Grows when positions stand for other entries than before. */
  get round(): number {
    return this.#round;
  }

  /** Whether the service may have lines older than those here. */
  get hasOlder(): boolean {
    return this.#firstSeq > this.#floorSeq;
  }

  at(position: number): Entry | undefined {
    return this.#entries[position - this.#first];
  }

  slice(from: number, to: number): Entry[] {
    return this.#entries.slice(Math.max(0, from - this.#first), Math.max(0, to - this.#first));
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Whether somebody reads what is old: then less of it is dropped for what is new. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
  }

  /** Add newer lines; those that are here already are left out. */
  append(lines: readonly LogLine[]): void {
    let added = false;
    for (const line of lines) {
      if (line.seq <= this.#lastSeq) continue;
      if (this.#firstSeq === 0) this.#firstSeq = line.seq;
      this.#lastSeq = line.seq;
      this.#entries.push(line);
      this.#chars += line.message.length;
      added = true;
    }
    if (!added) return;
    this.#trim();
    this.#changed();
  }

  /** Say where lines are missing. */
  appendGap(gap: GapEvent): void {
    if (gap.last <= this.#lastSeq) return;
    const count = gap.last - gap.first + 1;
    const lines = count === 1 ? `line ${gap.first} is` : `lines ${gap.first} to ${gap.last} are`;
    this.#notes += 1;
    this.#entries.push({ kind: "gap", seq: gap.last, text: `${lines} missing: ${gap.reason}` });
    if (this.#firstSeq === 0) this.#firstSeq = gap.last + 1;
    this.#lastSeq = gap.last;
    this.#changed();
  }

  /** A remark of the page itself, such as a lost connection. */
  appendNote(text: string): void {
    this.#notes += 1;
    this.#entries.push({ kind: "note", seq: this.#lastSeq, text });
    this.#changed();
  }

  /** Add older lines, oldest first; `firstKept` is the oldest that the service still has. */
  prepend(lines: readonly LogLine[], firstKept: number): void {
    const older = lines.filter((line) => line.seq < this.#firstSeq && line.seq >= this.#floorSeq);
    if (older.length === 0) {
      this.#floorSeq = Math.max(this.#floorSeq, this.#firstSeq);
      this.#changed();
      return;
    }
    const oldest = older[0];
    const newest = older.at(-1)?.seq ?? 0;
    const hole: Note[] =
      this.#isSparse || newest === this.#firstSeq - 1
        ? []
        : [{ kind: "gap", seq: newest, text: `lines ${newest + 1} to ${this.#firstSeq - 1} are missing` }];
    this.#notes += hole.length;
    this.#entries = [...older, ...hole, ...this.#entries];
    this.#first -= older.length + hole.length;
    this.#firstSeq = oldest?.seq ?? this.#firstSeq;
    for (const line of older) this.#chars += line.message.length;
    this.#floorSeq = Math.max(this.#floorSeq, firstKept);
    if (this.#entries.length > this.maxLines * HELD || this.#chars > this.maxChars * HELD) this.#endHere();
    this.#changed();
  }

  /** As much as a page holds is here: what is older stays with the service, and that is said. */
  #endHere(): void {
    if (!this.hasOlder) return;
    const text = "earlier lines are not loaded: the page has reached its limit. “preview logs” shows all of them.";
    this.#notes += 1;
    this.#entries.unshift({ kind: "note", seq: this.#firstSeq - 1, text });
    this.#first -= 1;
    this.#floorSeq = this.#firstSeq;
  }

  /** Empty the view: what was said until now does not come back by scrolling up, but by `restore`. */
  clear(): void {
    if (this.#entries.length === 0) return;
    this.restore();
    this.#cleared = {
      entries: this.#entries,
      firstSeq: this.#firstSeq,
      floorSeq: this.#floorSeq,
      chars: this.#chars,
      notes: this.#notes,
    };
    this.#empty();
  }

  /** Show again what was cleared. */
  restore(): void {
    const cleared = this.#cleared;
    if (cleared === null) return;
    this.#cleared = null;
    this.#round += 1;
    this.#entries = [...cleared.entries, ...this.#entries];
    this.#first -= cleared.entries.length;
    this.#firstSeq = cleared.firstSeq;
    this.#floorSeq = cleared.floorSeq;
    this.#chars += cleared.chars;
    this.#notes += cleared.notes;
    this.#changed();
  }

  #empty(): void {
    this.#round += 1;
    this.#first = this.end;
    this.#entries = [];
    this.#chars = 0;
    this.#notes = 0;
    this.#firstSeq = 0;
    this.#floorSeq = this.#lastSeq + 1;
    this.#changed();
  }

  /** Another preview begins: all is as new. */
  reset(): void {
    this.#cleared = null;
    this.#empty();
    this.#lastSeq = 0;
    this.#floorSeq = 1;
    this.#changed();
  }

  #trim(): void {
    const maxLines = this.maxLines * (this.#isHeld ? HELD : 1);
    const maxChars = this.maxChars * (this.#isHeld ? HELD : 1);
    if (this.#entries.length <= maxLines * (1 + STEP) && this.#chars <= maxChars * (1 + STEP)) return;
    let drop = Math.max(0, this.#entries.length - maxLines);
    let chars = this.#chars;
    for (let at = 0; at < this.#entries.length && (at < drop || chars > maxChars); at += 1) {
      const entry = this.#entries[at];
      if (entry && !isNote(entry)) chars -= entry.message.length;
      drop = Math.max(drop, at + 1);
    }
    for (const entry of this.#entries.slice(0, drop)) if (isNote(entry)) this.#notes -= 1;
    // What is older than lines that are dropped already could only be shown with a hole.
    this.#cleared = null;
    this.#entries.splice(0, drop);
    this.#first += drop;
    this.#chars = chars;
    const oldest = this.#entries.find((entry) => !isNote(entry));
    this.#firstSeq = oldest?.seq ?? this.#lastSeq + 1;
  }

  #changed(): void {
    this.#version += 1;
    for (const listener of this.#listeners) listener();
  }
}
