import type { LogLine } from "../api/types";
import { type Entry, isNote, type LogStore } from "./store";
import { isNextState, mayProgress } from "./progress";
import { plain } from "./text";
import { type FrameInLine, frameOf, StackScanner, type StackSummary, summaryOf } from "./traceback";
import type { LogView } from "./view";

/** Lines that are shown as one row until somebody opens it; positions are those of the view. */
interface Fold {
  /** Number of the line that it began with. */
  seq: number;
  kind: "stack" | "progress";
  start: number;
  end: number;
  isOpen: boolean;
  /** Rows that it and those before it have not got. */
  hidden: number;
  before: number;
}

/** What is folded; views with other filters share it. */
export interface Folding {
  isOn: boolean;
  /** The first lines of stacks that somebody opened, or closed while others are open. */
  readonly toggled: Set<number>;
}

/** The head of a fold, as a row: a stack, or the states of a progress bar, of which the last one is shown. */
export type FoldHead =
  | { kind: "stack"; isOpen: boolean; summary: StackSummary }
  | { kind: "progress"; isOpen: boolean; last: LogLine; states: number };

/** A frame looks back at most so many lines for the place that it names. */
const CODE_LINES = 6;
/** Lines that may begin a stack, or be its second one: others are not looked at. */
const MAYBE = /Traceback \(most recent|^(?:\u001b\[[\d;]{0,20}m)?\s{2,40}(?:\u001b\[[\d;]{0,20}m)?at \S/;
/** A summary reads at most so many lines of each end. */
const MOST_SUMMARISED = 600;

/**
 * A view as rows: a stack of a failure, and all states of a progress bar, are one row each until they are opened.
 *
 * Row positions stay with their entries while older ones come or go, as those of a view do. Where rows in the middle
 * appear or go, `takeChanges` says that all have moved.
 */
export class LogRows {
  readonly view: LogView;
  readonly #folding: Folding;
  #folds: Fold[] = [];
  /** Rows that folds which are gone had not got. */
  #base = 0;
  #scanner = new StackScanner();
  #current: Fold | null = null;
  #round: number;
  #seenFrom: number;
  #seenTo: number;
  #changed = new Set<number>();
  #hasMoved = false;

  constructor(view: LogView, folding: Folding = { isOn: true, toggled: new Set() }) {
    this.view = view;
    this.#folding = folding;
    this.#round = view.store.round;
    this.#seenFrom = this.#seenTo = view.first;
    this.sync();
  }

  get store(): LogStore {
    return this.view.store;
  }

  get first(): number {
    return this.rowOf(this.view.first);
  }

  get end(): number {
    return this.view.end === this.view.first ? this.first : this.rowOf(this.view.end - 1) + 1;
  }

  at(row: number): Entry | undefined {
    return this.view.at(this.positionAt(row));
  }

  /** The view's position of a row; of the first line of a fold. */
  positionAt(row: number): number {
    const fold = lastOf(this.#folds, (one) => one.start - one.before <= row);
    if (!fold) return row + this.#base;
    return row === fold.start - fold.before ? fold.start : row + fold.before + fold.hidden;
  }

  /** The row of a view's position. */
  rowOf(position: number): number {
    const fold = this.#foldAt(position);
    if (!fold) return position - this.#base;
    if (position < fold.end && !fold.isOpen) return fold.start - fold.before;
    return position - fold.before - fold.hidden;
  }

  /** The row of the first line that is numbered `seq` or higher. */
  rowOfSeq(seq: number): number {
    return this.rowOf(this.view.positionOf(seq));
  }

  /** The stack that a row is the head of. */
  headOf(row: number): FoldHead | null {
    const position = this.positionAt(row);
    const fold = this.#foldAt(position);
    if (fold?.start !== position || fold.end - fold.start < 2) return null;
    const { kind, isOpen } = fold;
    if (kind === "stack") return { kind, isOpen, summary: summaryOf(this.#texts(fold)) };
    const last = this.view.at(fold.end - 1);
    return last && !isNote(last) ? { kind, isOpen, last, states: fold.end - fold.start } : null;
  }

  /** Number of a row's last line: that of a closed fold's end, else its own. */
  lastSeqOf(row: number): number {
    const position = this.positionAt(row);
    const fold = this.#foldAt(position);
    const last = this.view.at(fold && !fold.isOpen && position < fold.end ? fold.end - 1 : position);
    return last && !isNote(last) ? last.seq : 0;
  }

  /** The frame that a row of an open stack belongs to: its own, or the one whose code it shows. */
  frameOf(row: number): (FrameInLine & { isNamed: boolean }) | null {
    const position = this.positionAt(row);
    const fold = this.#foldAt(position);
    if (!fold?.isOpen || fold.kind !== "stack" || position >= fold.end) return null;
    for (let at = position; at > fold.start && at > position - CODE_LINES; at -= 1) {
      const text = this.#textAt(at);
      const frame = frameOf(text);
      if (frame) return { ...frame, isNamed: at === position };
      if (!/^\s/.test(text)) break;
    }
    return null;
  }

  /** Open or close the fold of a row. Returns whether it is open; null where there is none. */
  toggle(row: number): boolean | null {
    const fold = this.#foldAt(this.positionAt(row));
    if (!fold || this.positionAt(row) >= fold.end) return null;
    this.#turn(fold, !fold.isOpen);
    return fold.isOpen;
  }

  /** The row of a view's position, which is in sight then: the stack around it is opened. */
  uncover(position: number): number {
    const fold = this.#foldAt(position);
    if (fold && !fold.isOpen && position < fold.end && position > fold.start) this.#turn(fold, true);
    return this.rowOf(position);
  }

  /** Fold all, or open all. */
  foldAll(isFolding: boolean): void {
    if (isFolding === this.#folding.isOn) return;
    this.#folding.isOn = isFolding;
    this.#folding.toggled.clear();
    for (const fold of this.#folds) fold.isOpen = !isFolding;
    this.#count(0);
    this.#hasMoved = true;
  }

  /** The rows that look other than before; whether others stand at their positions. */
  takeChanges(): { rows: readonly number[]; hasMoved: boolean } {
    const found = { rows: [...this.#changed], hasMoved: this.#hasMoved };
    this.#changed.clear();
    this.#hasMoved = false;
    return found;
  }

  /** Take in what the view has got or lost since. */
  sync(): void {
    const { view } = this;
    view.sync();
    if (view.store.round !== this.#round || this.#seenTo < view.first || this.#seenTo > view.end) this.#begin();
    this.#drop();
    if (view.first < this.#seenFrom) this.#scanOlder(view.first, this.#seenFrom);
    this.#seenFrom = view.first;
    for (let at = this.#seenTo; at < view.end; at += 1) this.#current = this.#scan(this.#scanner, this.#current, at);
    this.#seenTo = view.end;
  }

  #begin(): void {
    this.#round = this.view.store.round;
    this.#folds = [];
    this.#base = 0;
    this.#scanner = new StackScanner();
    this.#current = null;
    this.#seenFrom = this.#seenTo = this.view.first;
    this.#hasMoved = true;
  }

  #drop(): void {
    const { first } = this.view;
    const kept = this.#folds.findIndex((one) => one.end > first);
    const gone = this.#folds.splice(0, kept === -1 ? this.#folds.length : kept).at(-1);
    if (gone) {
      this.#base = gone.before + gone.hidden;
      if (this.#current === gone) this.#forget();
    }
    const [oldest] = this.#folds;
    if (!oldest || oldest.start >= first) return;
    const lost = first - oldest.start;
    oldest.start = first;
    if (oldest.isOpen) return;
    oldest.before += lost;
    oldest.hidden -= lost;
    this.#base = oldest.before;
  }

  #forget(): void {
    this.#current = null;
    this.#scanner.stop();
  }

  /** Look at one entry; returns the fold that goes on. */
  #scan(scanner: StackScanner, current: Fold | null, at: number): Fold | null {
    const entry = this.view.at(at);
    const line = entry && asProgramLine(entry);
    const before = this.view.at(at - 1);
    const neighbour = before && asProgramLine(before);
    if (!line || (neighbour && neighbour.request_id !== line.request_id)) scanner.stop();
    if (line && neighbour && !scanner.isInside && mayProgress(line)) {
      const progress = this.#progress(neighbour, line, at);
      if (progress) return progress;
    }
    if (!line || !(scanner.isInside || MAYBE.test(line.message))) return null;
    const isHead =
      neighbour && neighbour.request_id === line.request_id && (this.#folds.at(-1)?.end ?? at - 1) <= at - 1;
    const step = scanner.take(plain(line.message), isHead ? plain(neighbour.message) : null);
    if (step.kind === "opens") return this.#open("stack", at - step.back, at + 1);
    if (step.kind === "belongs" && current) {
      this.#extend(current, at + 1);
      if (step.back > 0 && at > this.#seenFrom && at <= this.#seenTo) this.#hasMoved = true;
      return current;
    }
    return scanner.isInside ? current : null;
  }

  /** Take an entry as the next state of the progress bar before it; returns the fold of both, null for another line. */
  #progress(before: LogLine, line: LogLine, at: number): Fold | null {
    if (before.request_id !== line.request_id || !mayProgress(before)) return null;
    const last = this.#folds.at(-1);
    const isGoingOn = last?.kind === "progress" && last.end === at;
    if (!isGoingOn && last && last.end > at - 1) return null;
    if (!isNextState(before, plain(before.message), line, plain(line.message))) return null;
    if (!isGoingOn) return this.#open("progress", at - 1, at + 1);
    this.#extend(last, at + 1);
    return last;
  }

  #open(kind: Fold["kind"], start: number, end: number): Fold {
    const seq = this.view.at(start)?.seq ?? 0;
    const last = this.#folds.at(-1);
    const isOpen = this.#folding.toggled.has(seq) === this.#folding.isOn;
    const hidden = isOpen ? 0 : end - start - 1;
    const fold = { seq, kind, start, end, isOpen, hidden, before: last ? last.before + last.hidden : this.#base };
    this.#folds.push(fold);
    this.#changed.add(start - fold.before);
    return fold;
  }

  #extend(fold: Fold, end: number): void {
    if (!fold.isOpen) fold.hidden += end - fold.end;
    fold.end = end;
    this.#changed.add(fold.start - fold.before);
  }

  /** Look at older entries; a stack that they begin goes on in those that were here. */
  #scanOlder(from: number, to: number): void {
    const [newer, base] = [this.#folds, this.#base];
    const stop = newer[0]?.start ?? this.#seenTo;
    this.#folds = [];
    this.#base = 0;
    const scanner = new StackScanner();
    let current: Fold | null = null;
    let at = from;
    for (; at < to || (scanner.isInside && current && at < stop); at += 1) current = this.#scan(scanner, current, at);
    if ((this.#folds.at(-1)?.end ?? to) > to) this.#hasMoved = true;
    const last = this.#folds.at(-1);
    // What was here keeps its rows: those before it are counted backwards.
    const offset = base - (last ? last.before + last.hidden : 0);
    for (const fold of this.#folds) fold.before += offset;
    this.#base = offset;
    this.#folds.push(...newer);
  }

  #turn(fold: Fold, isOpen: boolean): void {
    fold.isOpen = isOpen;
    if (isOpen === this.#folding.isOn) this.#folding.toggled.add(fold.seq);
    else this.#folding.toggled.delete(fold.seq);
    this.#count(this.#folds.indexOf(fold));
    this.#hasMoved = true;
  }

  /** Count hidden rows again, from this fold on. */
  #count(from: number): void {
    let before = this.#folds[from]?.before ?? this.#base;
    for (const fold of this.#folds.slice(from)) {
      fold.before = before;
      fold.hidden = fold.isOpen ? 0 : fold.end - fold.start - 1;
      before += fold.hidden;
    }
  }

  #foldAt(position: number): Fold | undefined {
    return lastOf(this.#folds, (one) => one.start <= position);
  }

  #textAt(position: number): string {
    const entry = this.view.at(position);
    return entry && !isNote(entry) ? plain(entry.message) : "";
  }

  #texts({ start, end }: Fold): string[] {
    const texts: string[] = [];
    for (let at = start; at < end; at += 1) {
      if (at === start + MOST_SUMMARISED && end - at > MOST_SUMMARISED) at = end - MOST_SUMMARISED;
      texts.push(this.#textAt(at));
    }
    return texts;
  }
}

function asProgramLine(entry: Entry): LogLine | null {
  return !isNote(entry) && entry.source === "subprocess" ? entry : null;
}

/** The last one of a sorted list that fits. */
function lastOf<T>(sorted: readonly T[], fits: (one: T) => boolean): T | undefined {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const one = sorted[middle];
    if (one !== undefined && fits(one)) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}
