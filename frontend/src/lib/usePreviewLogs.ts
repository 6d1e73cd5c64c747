import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";

import type { PreviewClient } from "./api/client";
import type { LogLine } from "./api/types";
import { usePreviewClient } from "./context";
import { LogSession, type LogSnapshot, openLogSession } from "./logs/session";
import { isNote, type LogStore } from "./logs/store";
import { plain } from "./logs/text";
import { EVERYTHING, type LogFilter, LogView } from "./logs/view";

export interface UsePreviewLogsOptions {
  client?: PreviewClient;
  /** False: do not connect (yet). */
  enabled?: boolean;
  /** How many of the newest lines `lines` holds; the store has all. */
  limit?: number;
  filter?: LogFilter;
}

/** A line as the original documents name its parts: `WARN` where the service says `WARNING`. */
export interface PreviewLog extends Omit<LogLine, "level"> {
  level: "DEBUG" | "INFO" | "WARN" | "ERROR";
}

export interface PreviewLogs extends LogSnapshot {
  /** The same lines in the words of the original documents. */
  logs: PreviewLog[];
  /** Whether lines come as they are printed. */
  isConnected: boolean;
  /** The newest lines, oldest first; renewed once per frame. */
  lines: readonly LogLine[];
  store: LogStore;
  session: LogSession;
  retryNow: () => void;
  clear: () => void;
  loadOlder: () => Promise<void>;
}

/** The shared session of a generation, for as long as the component lives; with a filter, one that has what it lets through. */
export function useLogSession(
  generationId: string,
  options: { client?: PreviewClient | undefined; enabled?: boolean; filter?: string; launch?: string | null } = {},
): LogSession {
  const client = usePreviewClient(options.client);
  const { enabled = true, filter = "", launch = null } = options;
  const idle = useMemo(
    () => new LogSession(client, generationId, filter, launch),
    [client, generationId, filter, launch],
  );
  const [open, setOpen] = useState<LogSession | null>(null);
  useEffect(() => {
    if (!enabled) return;
    const { session, release } = openLogSession(client, generationId, filter, launch);
    setOpen(session);
    return () => {
      setOpen(null);
      release();
    };
  }, [client, generationId, enabled, filter, launch]);
  const isIt = open?.generationId === generationId && open.filter === filter && open.launch === launch;
  return isIt ? open : idle;
}

export function useLogSnapshot(session: LogSession): LogSnapshot {
  const snapshot = (): LogSnapshot => session.snapshot;
  return useSyncExternalStore(session.subscribe, snapshot, snapshot);
}

/**
 * The log of a generation's preview, live: what it says, how the connection is, and what can be done about it.
 * It reconnects by itself without losing or repeating a line.
 */
export function usePreviewLogs(generationId: string, options: UsePreviewLogsOptions = {}): PreviewLogs {
  const { client, enabled } = options;
  const session = useLogSession(generationId, { ...(client && { client }), ...(enabled !== undefined && { enabled }) });
  const snapshot = useLogSnapshot(session);
  const lines = useNewestLines(session.store, options.limit ?? 1_000, options.filter ?? EVERYTHING);
  const logs = useMemo(() => lines.map(asPreviewLog), [lines]);
  return useMemo(
    () => ({
      ...snapshot,
      logs,
      isConnected: snapshot.connection.phase === "live",
      lines,
      store: session.store,
      session,
      retryNow: session.retryNow,
      clear: session.clear,
      loadOlder: session.loadOlder,
    }),
    [snapshot, lines, logs, session],
  );
}

function asPreviewLog(line: LogLine): PreviewLog {
  return { ...line, level: line.level === "WARNING" ? "WARN" : line.level, message: plain(line.message) };
}

function useNewestLines(store: LogStore, limit: number, filter: LogFilter): readonly LogLine[] {
  const [lines, setLines] = useState<readonly LogLine[]>([]);
  const view = useMemo(() => new LogView(store, filter), [store, filter]);
  const frame = useRef(0);
  useEffect(() => {
    const take = (): void => {
      frame.current = 0;
      view.sync();
      setLines(view.slice(view.end - limit, view.end).filter((entry): entry is LogLine => !isNote(entry)));
    };
    take();
    const forget = store.subscribe(() => (frame.current ||= requestAnimationFrame(take)));
    return () => {
      forget();
      cancelAnimationFrame(frame.current);
      frame.current = 0;
    };
  }, [store, view, limit]);
  return lines;
}
