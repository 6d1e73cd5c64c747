import type { LogLine } from "../api/types";
import { isNote, type LogStore } from "./store";

/** What a tab keeps over a reload, per preview. */
interface Kept {
  previewId: string;
  lines: LogLine[];
}

const PREFIX = "preview:log:";
const MAX_LINES = 1_000;
const MAX_CHARS = 256 * 1024;
/** Generations whose tail is kept at a time: 1 MiB of the 5 that a browser gives. */
const MAX_KEPT = 4;

/** Remember the last lines of a preview in this tab. Where the browser has no room, nothing is kept. */
export function keepTail(generationId: string, previewId: string, store: LogStore): void {
  const lines: LogLine[] = [];
  let chars = 0;
  for (let at = store.end - 1; at >= store.first && lines.length < MAX_LINES; at -= 1) {
    const entry = store.at(at);
    if (!entry || isNote(entry)) break; // what is kept has no holes
    chars += entry.message.length + 64;
    if (chars > MAX_CHARS) break;
    lines.push(entry);
  }
  if (lines.length === 0) return;
  try {
    dropOthers(generationId);
    sessionStorage.setItem(PREFIX + generationId, JSON.stringify({ previewId, lines: lines.reverse() }));
  } catch {
    // no storage, or none left: the tail is asked for again
  }
}

/** What was kept, if anything. */
export function keptTail(generationId: string): Kept | null {
  try {
    const kept = JSON.parse(sessionStorage.getItem(PREFIX + generationId) ?? "null") as Kept | null;
    return kept && Array.isArray(kept.lines) && kept.lines.length > 0 ? kept : null;
  } catch {
    return null;
  }
}

export function forgetTail(generationId: string): void {
  try {
    sessionStorage.removeItem(PREFIX + generationId);
  } catch {
    // no storage: nothing is kept either
  }
}

function dropOthers(generationId: string): void {
  const keys = Object.keys(sessionStorage).filter((key) => key.startsWith(PREFIX) && key !== PREFIX + generationId);
  for (const key of keys.slice(0, Math.max(0, keys.length - MAX_KEPT + 1))) sessionStorage.removeItem(key);
}
