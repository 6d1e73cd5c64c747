import { useCallback, useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem, type Problem } from "../api/problem";
import type { ProxyResponse } from "../api/types";
import { usePreviewClient } from "../context";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import { type Draft, requestOf, target } from "./draft";
import { loadHistory, saveHistory, type Sent, withSent } from "./history";

export interface Requests {
  answer: ProxyResponse | null;
  problem: Problem | null;
  isSending: boolean;
  history: readonly Sent[];
  /** Log lines that came while the last request ran. */
  logLines: number;
  send: (draft: Draft) => Promise<void>;
  cancel: () => void;
  forget: () => void;
}

/** Sends requests to a generation's preview, keeps the last ones, and marks what they cause in the log. */
export function useRequests(generationId: string, given?: PreviewClient): Requests {
  const client = usePreviewClient(given);
  const session = useLogSession(generationId, { client });
  const { marks } = useLogSnapshot(session);
  const [answer, setAnswer] = useState<ProxyResponse | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isSending, setSending] = useState(false);
  const [history, setHistory] = useState<readonly Sent[]>(() => loadHistory(generationId));
  const [label, setLabel] = useState<string | null>(null);
  const running = useRef<AbortController>(null);

  useEffect(() => {
    setHistory(loadHistory(generationId));
    setAnswer(null);
    setProblem(null);
    setLabel(null);
    return () => running.current?.abort();
  }, [generationId]);

  const note = useCallback(
    (sent: Sent) => {
      setHistory((before) => {
        const after = withSent(before, sent);
        saveHistory(generationId, after);
        return after;
      });
    },
    [generationId],
  );

  const send = useCallback(
    async (draft: Draft): Promise<void> => {
      running.current?.abort();
      const mine = (running.current = new AbortController());
      const sent: Sent = {
        id: Date.now(),
        at: Date.now(),
        draft,
        target: target(draft),
        status: null,
        elapsedMs: null,
        error: null,
      };
      const name = `${draft.method} ${sent.target}`;
      const endMark = session.markLines(name);
      setLabel(name);
      setSending(true);
      setProblem(null);
      setAnswer(null);
      try {
        const got = await client.request(generationId, requestOf(draft), mine.signal);
        setAnswer(got);
        note({ ...sent, status: got.status_code, elapsedMs: got.elapsed_ms });
      } catch (error) {
        if (mine.signal.aborted) return;
        setProblem(asProblem(error));
        note({ ...sent, error: asProblem(error).message });
      } finally {
        endMark();
        if (running.current === mine) setSending(false);
      }
    },
    [client, generationId, note, session],
  );
  const cancel = useCallback(() => {
    running.current?.abort();
    setSending(false);
  }, []);
  const forget = useCallback(() => {
    setHistory([]);
    saveHistory(generationId, []);
  }, [generationId]);
  const mark = marks.findLast((one) => one.label === label);
  const logLines = mark?.toSeq ? mark.toSeq - mark.fromSeq + 1 : 0;
  return { answer, problem, isSending, history, logLines, send, cancel, forget };
}
