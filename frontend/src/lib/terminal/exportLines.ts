import { type Entry, isNote } from "../logs/store";
import { asJson, asText } from "../logs/text";
import type { LogView } from "../logs/view";
import { saveFile } from "../ui/controls";
import { nextTurn } from "../stream/sse";

/** Lines turned into text before the page gets a turn. */
const SLICE_LINES = 5_000;

/** All lines of a view as text, with their line ends. The page stays responsive meanwhile. */
async function inSlices(view: LogView, text: (entry: Entry) => string): Promise<Blob[]> {
  const { end } = view;
  const slices: Blob[] = [];
  for (let at = view.first; at < end; at += SLICE_LINES) {
    const entries = view.slice(at, Math.min(at + SLICE_LINES, end));
    slices.push(new Blob([entries.map(text).join("")]));
    await nextTurn();
  }
  return slices;
}

export async function saveAsText(view: LogView, name: string): Promise<void> {
  saveFile(`${name}.log`, await inSlices(view, (entry) => `${asText(entry)}\n`), "text/plain");
}

export async function saveAsJsonLines(view: LogView, name: string): Promise<void> {
  const lines = await inSlices(view, (entry) => (isNote(entry) ? "" : `${asJson(entry)}\n`));
  saveFile(`${name}.jsonl`, lines, "application/x-ndjson");
}

/** All at once: a browser lets a page write to the clipboard only while it handles the click. */
export function allText(view: LogView): string {
  return view.slice(view.first, view.end).map(asText).join("\n");
}
