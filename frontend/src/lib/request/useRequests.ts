import { useCallback, useMemo, useSyncExternalStore } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import { type DeskSnapshot, deskOf, type RequestDesk } from "./desk";
import type { Draft } from "./draft";

export interface Requests extends DeskSnapshot {
  desk: RequestDesk;
  /** Log lines that came while the shown request ran. */
  logLines: number;
  send: (draft: Draft) => Promise<void>;
}

/** Sends requests to a generation's preview, keeps the last ones, and marks what they cause in the log. */
export function useRequests(generationId: string, given?: PreviewClient): Requests {
  const client = usePreviewClient(given);
  const session = useLogSession(generationId, { client });
  const { marks } = useLogSnapshot(session);
  const desk = deskOf(client, generationId);
  const snapshot = useSyncExternalStore(desk.subscribe, () => desk.snapshot);
  const send = useCallback((draft: Draft) => desk.send(draft, session.markLines), [desk, session]);
  const mark = marks.find((one) => one.id === snapshot.shown?.markId);
  const logLines = useMemo(() => (mark ? session.countMarked(mark) : 0), [mark, session]);
  return { ...snapshot, desk, logLines, send };
}
