import { type Entry, isNote } from "../logs/store";
import { clock, coloured } from "../logs/text";

const RESET = "\u001b[0m";
const ERROR = "\u001b[31m";
const WARNING = "\u001b[33m";
const QUIET = "\u001b[90m";
const SYSTEM = "\u001b[36m";
const MARKED = "\u001b[35m";
const NOTE = "\u001b[3;33m";
const CHOSEN = "\u001b[7m";
const BAR = "▌";

/** Columns before the message. */
export function prefixWidth(timestamps: boolean): number {
  return timestamps ? 15 : 2;
}

/** One entry as a line of the terminal, without its line end. */
export function paint(entry: Entry, options: { timestamps: boolean; isMarked: boolean; isChosen?: boolean }): string {
  if (isNote(entry)) return `${NOTE}${BAR} ${entry.kind === "gap" ? "⋯ " : ""}${coloured(entry.text)}${RESET}`;
  const own = coloured(entry.message);
  const chosen = options.isChosen ? CHOSEN : "";
  const time = options.timestamps ? `${QUIET}${chosen}${clock(entry.timestamp)}${RESET} ` : "";
  const colour = own.includes("\u001b") ? "" : colourOf(entry.level, entry.source);
  return `${chosen}${gutter(entry.level, options.isMarked)}${time}${colour}${own}${RESET}`;
}

function gutter(level: string, isMarked: boolean): string {
  if (level === "ERROR") return `${ERROR}${BAR}${RESET} `;
  if (level === "WARNING") return `${WARNING}${BAR}${RESET} `;
  return isMarked ? `${MARKED}${BAR}${RESET} ` : "  ";
}

function colourOf(level: string, source: string): string {
  if (level === "ERROR") return ERROR;
  if (level === "WARNING") return WARNING;
  if (level === "DEBUG") return QUIET;
  return source === "system" ? SYSTEM : "";
}
