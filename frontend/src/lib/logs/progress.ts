import type { LogLine } from "../api/types";
import { plain } from "./text";

/** Longer lines are no progress bar. */
const MOST_CHARS = 400;
/** Without a bar to see, a state that comes later than this is news of its own. */
const SOON_MS = 1_500;
const BAR = /[\u2580-\u259f\u2501\u2578-\u257b]{2}|\[[#=>.\-\s]{5,200}\]|\|[#=>\s]{5,200}\|/;
const PERCENT = /\d{1,3}(?:\.\d{1,3})?\s?%/;
/** What stands before all that changes. A line that begins with a time is of a log. */
const LABEL = /^[^\d%#=>|[\]\u2580-\u259f\u2501\u2578-\u257b]{0,120}/;
const TIME = /^\s{0,40}\[?\d{1,4}[-:/.]\d\d[-:/.]\d\d/;

/** A number of a total, such as `3/10` or `3 of 10`; not a part of a path, a date or a version. */
const COUNT = /(?<![\w/.:-])(\d{1,12})(?:\s?\/\s?|\s+of\s+)(\d{1,12})(?![\w/:-])/;
/** A sign that turns, before what is done. */
const SPINNER = /^\s{0,20}([\u2800-\u28ff]|[-|/\\](?=\s))/;

/** Whether a line may be a state of a progress bar, at the cost of a look. */
export function mayProgress({ message, level }: LogLine): boolean {
  if (level !== "INFO" || message.length > MOST_CHARS) return false;
  return message.includes("%") || COUNT.test(message) || BAR.test(message) || SPINNER.test(plain(message));
}

/** Whether two lines that follow each other are states of one progress bar. Both are without colours. */
export function isNextState(before: LogLine, beforeText: string, line: LogLine, text: string): boolean {
  if (before.level !== line.level || TIME.test(text) || TIME.test(beforeText)) return false;
  if (BAR.test(text) && BAR.test(beforeText)) return labelOf(text) === labelOf(beforeText);
  if (Date.parse(line.timestamp) - Date.parse(before.timestamp) > SOON_MS) return false;
  if (PERCENT.test(text) && PERCENT.test(beforeText)) return labelOf(text) === labelOf(beforeText);
  return hasTurned(beforeText, text) || hasGrown(beforeText, text);
}

/** Whether only the sign and numbers differ. */
function hasTurned(before: string, text: string): boolean {
  const [one, other] = [SPINNER.exec(before), SPINNER.exec(text)];
  if (!one || !other || one[1] === other[1]) return false;
  return withoutNumbers(before.slice(one[0].length)) === withoutNumbers(text.slice(other[0].length));
}

/** Whether only numbers differ, and more of the same total is done. */
function hasGrown(before: string, text: string): boolean {
  const [one, other] = [COUNT.exec(before), COUNT.exec(text)];
  if (!one || !other || one[2] !== other[2] || before === text) return false;
  if (Number(one[1]) > Number(other[1]) || Number(other[1]) > Number(other[2])) return false;
  return withoutNumbers(before) === withoutNumbers(text);
}

function withoutNumbers(text: string): string {
  return text.replace(/\d+/g, "0").trim();
}

function labelOf(text: string): string {
  return (LABEL.exec(text)?.[0] ?? "").trim();
}
