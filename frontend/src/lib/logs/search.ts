import { nextTurn } from "../stream/sse";
import { isNote } from "./store";
import { plain } from "./text";
import type { LogView } from "./view";

export interface SearchQuery {
  text: string;
  regex: boolean;
  matchCase: boolean;
}

/** Looked through before the page gets a turn. */
const SLICE_LINES = 5_000;
/** Nobody steps through more; the count then says "at least". */
export const MAX_MATCHES = 50_000;

/** The pattern of a query, or the reason why it is none. */
export function compileQuery(query: SearchQuery): RegExp | { error: string } | null {
  if (!query.text) return null;
  const source = query.regex ? query.text : query.text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  try {
    return new RegExp(source, query.matchCase ? "g" : "gi");
  } catch (error) {
    return { error: error instanceof Error ? error.message.replace(/^Invalid regular expression: /, "") : "invalid" };
  }
}

/** The positions of the lines between `from` and `to` that match, oldest first. */
export async function findLines(
  view: LogView,
  pattern: RegExp,
  range: { from: number; to: number },
  signal: AbortSignal,
): Promise<number[]> {
  const found: number[] = [];
  const once = new RegExp(pattern.source, pattern.flags.replace("g", ""));
  for (let at = Math.max(range.from, view.first); at < range.to && found.length < MAX_MATCHES; at += 1) {
    const entry = view.at(at);
    if (entry && !isNote(entry) && once.test(plain(entry.message))) found.push(at);
    if ((at - range.from) % SLICE_LINES === SLICE_LINES - 1) {
      await nextTurn();
      if (signal.aborted) return found;
    }
  }
  return found;
}
