import type { IDecoration, IDisposable, Terminal } from "@xterm/xterm";

import { type Entry, isNote } from "../logs/store";
import { lastRow, startOf } from "./rows";
import styles from "./terminal.module.css";

/**
 * Marks the lines of the service, beside the text.
 *
 * The mark is an element of the page left of the first column: no output reaches that place, whatever its colours are
 * and wherever it wraps.
 */
export class ServiceMarks {
  readonly #terminal: Terminal;
  #shown: (IDecoration | IDisposable)[] = [];

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  clear(): void {
    for (const one of this.#shown) one.dispose();
    this.#shown = [];
  }

  /** Mark those of these lines that are the service's. They are the last ones that have been written. */
  add(entries: readonly Entry[]): void {
    if (!entries.some(isOfService)) return;
    const buffer = this.#terminal.buffer.active;
    const cursor = lastRow(buffer);
    let end = cursor;
    for (const entry of entries.toReversed()) {
      const start = startOf(buffer, end);
      if (isOfService(entry)) this.#mark(start - cursor, end - start + 1);
      if (start === 0) return; // what was before has been scrolled out
      end = start - 1;
    }
  }

  #mark(offset: number, height: number): void {
    const marker = this.#terminal.registerMarker(offset);
    const decoration = this.#terminal.registerDecoration({ marker, x: 0, width: 1, height });
    this.#shown.push(marker);
    if (!decoration) return;
    decoration.onRender((element) => element.classList.add(styles.service ?? "service"));
    this.#shown.push(decoration);
  }
}

function isOfService(entry: Entry): boolean {
  return !isNote(entry) && entry.source === "system";
}
