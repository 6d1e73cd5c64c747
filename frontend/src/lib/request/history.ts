import { keepInTab, keptInTab } from "../sessionKeep";
import { type Draft, keepable } from "./draft";

/** A request that was sent from this tab. */
export interface Sent {
  id: number;
  at: number;
  draft: Draft;
  target: string;
  status: number | null;
  elapsedMs: number | null;
  error: string | null;
}

export const MAX_SENT = 30;
/** A body longer than this is not kept over a reload. */
const MAX_BODY_CHARS = 5_000;

/** The newest first, bounded; one that is there already is replaced. */
export function withSent(history: readonly Sent[], sent: Sent): Sent[] {
  return [sent, ...history.filter((one) => one.id !== sent.id)].sort((a, b) => b.id - a.id).slice(0, MAX_SENT);
}

const PREFIX = "preview:requests:";

export function loadHistory(generationId: string): Sent[] {
  const kept = keptInTab(PREFIX, generationId);
  return Array.isArray(kept) ? (kept as Sent[]) : [];
}

export function saveHistory(generationId: string, history: readonly Sent[]): void {
  const small = history
    .filter((one) => one.draft.body.length <= MAX_BODY_CHARS)
    .map((one) => ({ ...one, draft: keepable(one.draft) }));
  keepInTab(PREFIX, generationId, small);
}
