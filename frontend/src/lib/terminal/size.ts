import type { FitAddon } from "@xterm/addon-fit";
import type { Terminal } from "@xterm/xterm";

import { type Entry, isNote } from "../logs/store";
import { plain } from "../logs/text";
import { prefixWidth } from "./paint";

/** A line without wrapping is not shown further than this. */
const MAX_COLUMNS = 500;

/** Columns that these lines need without wrapping. */
export function columnsOf(entries: readonly Entry[], timestamps: boolean): number {
  const prefix = prefixWidth(timestamps);
  let columns = 0;
  for (const entry of entries) {
    if (!isNote(entry)) columns = Math.max(columns, plain(entry.message).length + prefix);
  }
  return Math.min(columns, MAX_COLUMNS);
}

/** Make the terminal as large as its host, and at least so many columns wide: then the host scrolls sideways. */
export function resize(terminal: Terminal, fit: FitAddon, columns: number): void {
  const proposed = fit.proposeDimensions();
  if (!proposed || Number.isNaN(proposed.cols)) return;
  const wide = Math.max(proposed.cols, columns);
  if (wide !== terminal.cols || proposed.rows !== terminal.rows) terminal.resize(wide, proposed.rows);
}
