import type { AlertFiring } from "../api/alerts";
import type { LogLine } from "../api/types";
import type { Translate } from "../texts/translate";
import { count } from "../ui/format";
import { visible } from "../ui/visible";

/** Most alerts that one line's mark names; the others are counted. */
const MOST_NAMED = 3;
const MOST_CHARACTERS = 200;

/** The service writes a line into the log for each firing, and for each rule that it had to pause. */
export const isAlert = (line: LogLine): boolean => line.source === "system" && line.message.startsWith('alert "');

/** Words for the lines that made alerts fire, by number: the first and the last line of each firing of this preview. */
export function markedLines(
  t: Translate,
  firings: readonly AlertFiring[],
  previewId: string | null,
): ReadonlyMap<number, string> {
  const found = new Map<number, Set<string>>();
  const add = (seq: number, words: string): void => {
    found.set(seq, (found.get(seq) ?? new Set<string>()).add(words));
  };
  for (const one of firings) {
    const { first_line: first, last_line: last } = one;
    if (one.preview_id !== previewId || first === null) continue;
    const alert = visible(one.alert.slice(0, MOST_CHARACTERS));
    if (last === null || last === first) {
      add(first, t("Alert: {alert}", { alert }));
      continue;
    }
    add(first, t("Alert: {alert}, first line", { alert }));
    add(last, t("Alert: {alert}, last line", { alert }));
  }
  return new Map([...found].map(([seq, words]) => [seq, joined(t, [...words])]));
}

function joined(t: Translate, words: readonly string[]): string {
  const more = words.length - MOST_NAMED;
  const named = words.slice(0, MOST_NAMED);
  return (more > 0 ? [...named, count(t, more, "{count} more alert", "{count} more alerts")] : named).join("; ");
}
