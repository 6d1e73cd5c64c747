import type { Terminal } from "@xterm/xterm";

import type { Entry } from "../logs/store";
import { lastRow, linesBelow, startOf } from "./rows";

/** The line whose head the pointer is on, and where the pointer is. */
export interface HoveredLine {
  entry: Entry;
  x: number;
  y: number;
}

export interface LineHeadsOptions {
  /** Columns of a line's head now: bar and timestamp. */
  columns: () => number;
  /** The entry with so many lines below it. */
  entryAt: (below: number) => Entry | undefined;
  onHover: (line: HoveredLine | null) => void;
  onPick: (entry: Entry) => void;
}

/** Tells which line's head the pointer is on. */
export class LineHeads {
  readonly #host: HTMLElement;
  readonly #terminal: Terminal;
  readonly #options: LineHeadsOptions;
  #hovered: Entry | null = null;

  constructor(host: HTMLElement, terminal: Terminal, options: LineHeadsOptions) {
    this.#host = host;
    this.#terminal = terminal;
    this.#options = options;
    host.addEventListener("mousemove", this.#move);
    host.addEventListener("mouseleave", this.#leave);
    host.addEventListener("click", this.#click);
  }

  dispose(): void {
    this.#host.removeEventListener("mousemove", this.#move);
    this.#host.removeEventListener("mouseleave", this.#leave);
    this.#host.removeEventListener("click", this.#click);
  }

  readonly #click = (event: MouseEvent): void => {
    const entry = this.#under(event);
    if (entry && !this.#terminal.hasSelection()) this.#options.onPick(entry);
  };

  /** The entry whose head is under the pointer. */
  #under(event: MouseEvent): Entry | null {
    const box = this.#host.querySelector(".xterm-screen")?.getBoundingClientRect();
    if (!box) return null;
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.#terminal.cols);
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.#terminal.rows);
    return column >= 0 && column < this.#options.columns() ? this.#entryAt(row) : null;
  }

  readonly #move = (event: MouseEvent): void => {
    const entry = this.#under(event);
    if (entry === this.#hovered) return;
    this.#hovered = entry;
    this.#options.onHover(entry && { entry, x: event.clientX, y: event.clientY });
  };

  readonly #leave = (): void => {
    this.#hovered = null;
    this.#options.onHover(null);
  };

  #entryAt(screenRow: number): Entry | null {
    const buffer = this.#terminal.buffer.active;
    const row = buffer.viewportY + screenRow;
    if (row > lastRow(buffer)) return null;
    return this.#options.entryAt(linesBelow(buffer, startOf(buffer, row))) ?? null;
  }
}
