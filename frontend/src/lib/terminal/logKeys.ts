import type { Level } from "../api/types";
import { isNote } from "../logs/store";
import type { LogRows } from "../logs/rows";

/** Keys of the log while it has the focus, as a help shows them. */
export const LOG_KEYS: readonly (readonly [keys: string, does: string])[] = [
  ["e / E", "next or previous error"],
  ["w / W", "next or previous warning"],
  ["n / N", "next or previous match, while the search is open"],
  ["g / G", "oldest or newest line"],
  ["Enter", "open or close the selected traceback"],
  ["/", "search"],
];

const LEVEL_KEYS: Readonly<Record<string, readonly [Level, 1 | -1]>> = {
  e: ["ERROR", 1],
  E: ["ERROR", -1],
  w: ["WARNING", 1],
  W: ["WARNING", -1],
};

/** The row that a key leads to from `from`; null where there is none, or the key is another one. */
export function lineOfKey(rows: LogRows, key: string, from: number): number | null {
  const [level, step] = LEVEL_KEYS[key] ?? [];
  if (level === undefined || step === undefined) return null;
  for (let at = from + step; at >= rows.first && at < rows.end; at += step) {
    const entry = rows.at(at);
    if (entry && !isNote(entry) && entry.level === level) return at;
  }
  return null;
}
