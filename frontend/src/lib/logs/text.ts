import type { LogLine } from "../api/types";
import { type Entry, isNote } from "./store";

// Select Graphic Rendition: colours and weights. It is all that a line may do to the terminal.

const SGR = /\u001b\[[0-9;:]*m/g;
// Any other sequence or control character but the tab.
const OTHER =
  /\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b\[[0-?]*[ -/]*[@-ln-~]|\u001b[PX^_][^\u001b]*\u001b\\|\u001b(?!\[[0-9;:]*m).?|[\u0000-\u0008\u000a-\u001a\u001c-\u001f\u007f-\u009f]/g;

/** The text without colours. */
export function plain(message: string): string {
  return message.includes("\u001b") ? message.replace(SGR, "").replace(OTHER, "") : message;
}

/** The text with its colours and nothing else that could move the cursor or call the terminal. */
export function coloured(message: string): string {
  return message.replace(OTHER, "");
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

/** One line as JSON, as the service writes it. */
export function asJson(line: LogLine): string {
  const { seq, timestamp, level, source, message, request_id } = line;
  return JSON.stringify({ seq, timestamp, level, source, message, request_id });
}
