import { useCallback, useEffect, useMemo, useState, useSyncExternalStore } from "react";

import type { PreviewClient } from "../api/client";
import type { LogLine } from "../api/types";
import { usePreviewClient } from "../context";
import type { RequestMark } from "../logs/marks";
import type { LogSession } from "../logs/session";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import { type DeskSnapshot, deskOf, type Ready, type RequestDesk } from "./desk";
import type { Draft } from "./draft";

export interface Requests extends DeskSnapshot {
  desk: RequestDesk;
  /** Log lines of the shown request, and whether the program told that they are. */
  logLines: readonly LogLine[];
  isExact: boolean;
  /** Bring a line of the log into sight. */
  reveal: (seq: number) => void;
  /** Grows when another process serves, after a reload. */
  restarts: number;
  send: (draft: Draft, ready: Ready) => Promise<void>;
}

/** Sends requests to a generation's preview, keeps the last ones, and marks what they cause in the log. */
export function useRequests(generationId: string, given?: PreviewClient): Requests {
  const client = usePreviewClient(given);
  const session = useLogSession(generationId, { client });
  const { marks, restarts } = useLogSnapshot(session);
  const desk = deskOf(client, generationId);
  const snapshot = useSyncExternalStore(
    desk.subscribe,
    () => desk.snapshot,
    () => desk.snapshot,
  );
  const send = useCallback((draft: Draft, ready: Ready) => desk.send(draft, session.markLines, ready), [desk, session]);
  const mark = marks.find((one) => one.id === snapshot.shown?.markId);
  const arrived = useArrived(session, mark);
  const logLines = useMemo(
    () => (mark && arrived >= 0 ? session.linesOf(mark) : []),
    // What has arrived since changes the lines of the same mark.
    [mark, session, arrived],
  );
  const isExact = mark?.isExact ?? false;
  return { ...snapshot, desk, logLines, isExact, reveal: session.reveal, restarts, send };
}

/** So often at most are lines counted that are still on their way here. */
const EACH_MS = 250;

/** Changes while lines of an answered request arrive: after a flood, the response is here before its lines. */
function useArrived(session: LogSession, mark: RequestMark | undefined): number {
  const [round, setRound] = useState(0);
  useEffect(() => {
    const { store } = session;
    if (!mark || mark.toSeq === null || store.lastSeq >= mark.toSeq) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const forget = store.subscribe(() => (timer ??= setTimeout(() => setRound((now) => now + 1), EACH_MS)));
    return () => {
      clearTimeout(timer);
      forget();
    };
  }, [session, mark, round]);
  return round;
}
