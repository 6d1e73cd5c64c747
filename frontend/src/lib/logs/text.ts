import type { LogLine } from "../api/types";
import { visible, visibleColoured } from "../ui/visible";
import { type Entry, isNote } from "./store";

const SGR = /\u001b\[[0-9;:]*m/g;

/** The text without colours; what could act unseen is shown as an escape. */
export function plain(message: string): string {
  return visible(message.replace(SGR, ""));
}

/** The text with its colours; what else could move the cursor or call the terminal is shown as an escape. */
export function coloured(message: string): string {
  return visibleColoured(message);
}

/** `14:03:07.123` in local time. */
export function clock(timestamp: string): string {
  const at = new Date(timestamp);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

/** One line as text, for copying and saving. */
export function asText(entry: Entry): string {
  if (isNote(entry)) return `--- ${entry.text} ---`;
  return `${entry.timestamp} ${entry.level.padEnd(7)} ${plain(entry.message)}`;
}

/** One line as JSON, as the service writes it: the data stays, a terminal that shows it is not driven by it. */
export function asJson(line: LogLine): string {
  const { seq, timestamp, level, source, message, stream, request_id } = line;
  return visible(JSON.stringify({ seq, timestamp, level, source, message, stream, request_id }));
}
