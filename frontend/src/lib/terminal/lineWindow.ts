import type { Terminal } from "@xterm/xterm";

import type { Entry } from "../logs/store";
import type { LogView } from "../logs/view";
import { ServiceMarks } from "./serviceMarks";
import { linesBelow, rowOf, startOf } from "./rows";

/** Lines written to the terminal at a time; the rest of the view is a scroll away. */
export const WINDOW = 3_000;
/** Written in one frame at most; more than a window behind, it jumps. */
export const FRAME_LINES = 1_000;

/** Given to xterm.js at a time: it looks at the clock between pieces, never within one. */
const PIECE_LINES = 200;

const HOLD_FRAME = "\u001b[?2026h";
const SHOW_FRAME = "\u001b[?2026l";
const EMPTY_ALL = "\u001b[0m\u001b[H\u001b[2J\u001b[3J";

/** A line, by its position in the view, and the row of the screen where it shall be. */
export interface Anchor {
  position: number;
  offset: number;
}

/** The lines of a view that the terminal holds, from `from` up to `to`: xterm.js has a few thousand at a time. */
export class LineWindow {
  readonly #terminal: Terminal;
  readonly #paint: (entry: Entry) => string;
  #from = 0;
  #to = 0;
  #writes = 0;
  readonly #marks: ServiceMarks;
  #isDisposed = false;

  constructor(terminal: Terminal, paint: (entry: Entry) => string) {
    this.#terminal = terminal;
    this.#paint = paint;
    this.#marks = new ServiceMarks(terminal);
  }

  get from(): number {
    return this.#from;
  }

  get to(): number {
    return this.#to;
  }

  /** Whether xterm.js has not taken over all that was written: rows and lines do not agree meanwhile. */
  get isWriting(): boolean {
    return this.#writes > 0;
  }

  /** Whether nothing of what is written is in a view from `first` to `end`: cleared, or trimmed away. */
  isGone(first: number, end: number): boolean {
    return this.#to > end || (this.#from < this.#to && this.#to <= first);
  }

  dispose(): void {
    this.#isDisposed = true;
  }

  /** Make room for these lines, as far as the view has them. What is in the terminal follows by `write`. */
  move(view: LogView, from: number, to: number): void {
    this.#from = Math.max(view.first, Math.min(from, view.end - WINDOW));
    this.#to = Math.min(view.end, Math.max(to, this.#from));
  }

  /** Write all lines of the window, with one of them at the given row, else with the last one in sight. */
  write(view: LogView, anchor: Anchor | undefined, done: () => void): void {
    this.#terminal.write(`${HOLD_FRAME}${EMPTY_ALL}`, () => this.#marks.clear());
    this.#send(view.slice(this.#from, this.#to), true, () => {
      if (!anchor || !this.scrollTo(anchor)) this.#terminal.scrollToBottom();
      this.#terminal.write(SHOW_FRAME, done);
    });
  }

  /** Write some of the lines that have come behind the window. */
  append(view: LogView, done: () => void): void {
    const to = Math.min(view.end, this.#to + FRAME_LINES);
    const entries = view.slice(this.#to, to);
    const isFirst = this.#from === this.#to;
    this.#to = to;
    this.#send(entries, isFirst, done);
  }

  /** Bring a line to a row of the screen; whether it is here. */
  scrollTo({ position, offset }: Anchor): boolean {
    const row = rowOf(this.#terminal.buffer.active, this.below(position));
    if (row !== null) this.#terminal.scrollToLine(Math.max(0, row - offset));
    return row !== null;
  }

  /** The line at the top of the screen. */
  anchor(): Anchor {
    const buffer = this.#terminal.buffer.active;
    const start = startOf(buffer, buffer.viewportY);
    return { position: this.at(linesBelow(buffer, start)), offset: start - buffer.viewportY };
  }

  /** Lines below the one at `position`, and the position with so many lines below it. */
  below(position: number): number {
    return this.#to - 1 - position;
  }

  at(below: number): number {
    return this.#to - 1 - below;
  }

  #send(entries: readonly Entry[], isFirst: boolean, done: () => void): void {
    this.#writes += 1;
    for (let at = 0; at < entries.length; at += PIECE_LINES) {
      const lines = entries.slice(at, at + PIECE_LINES).map(this.#paint);
      const piece = entries.slice(at, at + PIECE_LINES);
      this.#terminal.write(`${isFirst && at === 0 ? "" : "\r\n"}${lines.join("\r\n")}`, () => this.#marks.add(piece));
    }
    this.#terminal.write("", () => {
      this.#writes -= 1;
      if (!this.#isDisposed) done();
    });
  }
}
