import type { Draft } from "./draft";

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

const MAX_SENT = 30;
/** A body longer than this is not kept over a reload. */
const MAX_BODY_CHARS = 20_000;

/** The newest first, bounded; one that is there already is replaced. */
export function withSent(history: readonly Sent[], sent: Sent): Sent[] {
  return [sent, ...history.filter((one) => one.id !== sent.id)].sort((a, b) => b.id - a.id).slice(0, MAX_SENT);
}

const key = (generationId: string): string => `preview:requests:${generationId}`;

export function loadHistory(generationId: string): Sent[] {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key(generationId)) ?? "[]") as unknown;
    return Array.isArray(kept) ? (kept as Sent[]) : [];
  } catch {
    return [];
  }
}

export function saveHistory(generationId: string, history: readonly Sent[]): void {
  const small = history.filter((one) => one.draft.body.length <= MAX_BODY_CHARS);
  try {
    sessionStorage.setItem(key(generationId), JSON.stringify(small));
  } catch {
    // no storage, or none left: the history lives as long as the page
  }
}
