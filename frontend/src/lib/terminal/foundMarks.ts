import type { IDecoration, IDisposable, Terminal } from "@xterm/xterm";

import { lastRow, linesBelow, lineText, startOf } from "./rows";
import { FOUND, type Theme } from "./themes";

interface Place {
  row: number;
  column: number;
}

/** What is marked: every match on the screen, and the one looked at in a colour of its own. */
export interface Found {
  pattern: RegExp;
  /** Lines below the one looked at; null where none is. */
  currentBelow: number | null;
  /** Columns that are not the line's own text. */
  prefix: number;
  theme: Theme;
}

/** Marks found text in the rows that are in sight. */
export class FoundMarks {
  readonly #terminal: Terminal;
  #shown: (IDecoration | IDisposable)[] = [];

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  clear(): void {
    for (const one of this.#shown) one.dispose();
    this.#shown = [];
  }

  show({ pattern, currentBelow, prefix, theme }: Found): void {
    this.clear();
    const buffer = this.#terminal.buffer.active;
    const cursor = lastRow(buffer);
    const bottom = Math.min(cursor, buffer.viewportY + this.#terminal.rows - 1);
    let row = startOf(buffer, buffer.viewportY);
    while (row <= bottom) {
      const { text, cells } = lineText(buffer, row);
      const isCurrent = currentBelow !== null && linesBelow(buffer, row) === currentBelow;
      const colour = isCurrent ? FOUND[theme].current : FOUND[theme].every;
      for (const match of text.slice(prefix).matchAll(pattern)) {
        if (match[0].length === 0) break;
        const start = cells[match.index + prefix];
        const end = cells[match.index + prefix + match[0].length];
        if (start && end) this.#mark(start, end, cursor, colour);
      }
      row = (cells.at(-1)?.row ?? row) + 1;
    }
  }

  #mark(start: Place, end: Place, cursor: number, backgroundColor: string): void {
    for (let row = start.row; row <= end.row; row += 1) {
      const x = row === start.row ? start.column : 0;
      const width = (row === end.row ? end.column : this.#terminal.cols) - x;
      if (width <= 0) continue;
      const marker = this.#terminal.registerMarker(row - cursor);
      const decoration = this.#terminal.registerDecoration({ marker, x, width, backgroundColor, layer: "top" });
      this.#shown.push(marker);
      if (decoration) this.#shown.push(decoration);
    }
  }
}
