import type { LogLine } from "../api/types";
import { forgetInTab, keepInTab, keptInTab } from "../sessionKeep";
import { isNote, type LogStore } from "./store";

/** What a tab keeps over a reload, per preview. */
interface Kept {
  previewId: string;
  lines: LogLine[];
}

const PREFIX = "preview:log:";
const MAX_LINES = 1_000;
const MAX_CHARS = 256 * 1024;

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
  keepInTab(PREFIX, generationId, { previewId, lines: lines.reverse() });
}

/** What was kept, if anything. */
export function keptTail(generationId: string): Kept | null {
  const kept = keptInTab(PREFIX, generationId) as Kept | null;
  return kept && Array.isArray(kept.lines) && kept.lines.length > 0 ? kept : null;
}

export function forgetTail(generationId: string): void {
  forgetInTab(PREFIX, generationId);
}
