import type { LogLine } from "../api/types";

/** Longer lines are no progress bar. */
const MOST_CHARS = 400;
/** Without a bar to see, a percentage that comes later than this is news of its own. */
const SOON_MS = 1_500;
const BAR = /[\u2580-\u259f\u2501\u2578-\u257b]{2}|\[[#=>.\-\s]{5,200}\]|\|[#=>\s]{5,200}\|/;
const PERCENT = /\d{1,3}(?:\.\d{1,3})?\s?%/;
/** What stands before all that changes. A line that begins with a time is of a log. */
const LABEL = /^[^\d%#=>|[\]\u2580-\u259f\u2501\u2578-\u257b]{0,120}/;
const TIME = /^\s{0,40}\[?\d{1,4}[-:/.]\d\d[-:/.]\d\d/;

/** Whether a line may be a state of a progress bar, at the cost of a look. */
export function mayProgress({ message, level }: LogLine): boolean {
  return level === "INFO" && message.length <= MOST_CHARS && (message.includes("%") || BAR.test(message));
}

/** Whether two lines that follow each other are states of one progress bar. Both are without colours. */
export function isNextState(before: LogLine, beforeText: string, line: LogLine, text: string): boolean {
  if (before.level !== line.level || TIME.test(text) || TIME.test(beforeText)) return false;
  const hasBar = BAR.test(text) && BAR.test(beforeText);
  if (!hasBar && !(PERCENT.test(text) && PERCENT.test(beforeText))) return false;
  if (!hasBar && Date.parse(line.timestamp) - Date.parse(before.timestamp) > SOON_MS) return false;
  return labelOf(text) === labelOf(beforeText);
}

function labelOf(text: string): string {
  return (LABEL.exec(text)?.[0] ?? "").trim();
}
