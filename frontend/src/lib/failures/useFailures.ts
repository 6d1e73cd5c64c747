import { useEffect, useRef, useState } from "react";

import type { PreviewClient } from "../api/client";
import type { Problem } from "../api/problem";
import { type Diagnosis, type FailurePage, listFailures, readDiagnosis } from "../api/failures";
import type { PreviewState } from "../api/types";
import { isNote } from "../logs/store";
import { useLoad } from "../ui/useLoad";
import { usePreview } from "../usePreview";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";

export interface Failures {
  page: FailurePage | null;
  diagnosis: Diagnosis | null;
  problem: Problem | null;
  state: PreviewState | "none" | null;
  /** Grows with each new reading. */
  revision: number;
  /** How often a new process has taken over. */
  reloads: number;
  refresh: () => void;
}

/** A traceback is several lines, and is read a moment after the last one. */
const SETTLE_MS = 700;

/** The failures of a generation's preview; read again when its log has a new error, and when the preview has changed. */
export function useFailures(client: PreviewClient, generationId: string): Failures {
  const { instance, isLoaded } = usePreview(generationId, { client, poll: false });
  const session = useLogSession(generationId, { client });
  const { restarts } = useLogSnapshot(session);
  const [revision, setRevision] = useState(0);
  const seen = useRef(0);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const { store } = session;
    const forget = store.subscribe(() => {
      let isNew = false;
      for (let at = store.end - 1; at >= store.first; at -= 1) {
        const entry = store.at(at);
        if (!entry || entry.seq <= seen.current) break;
        if (!isNote(entry) && entry.level === "ERROR") isNew = true;
      }
      seen.current = store.lastSeq;
      if (isNew) {
        timer ??= setTimeout(() => {
          timer = undefined;
          setRevision((before) => before + 1);
        }, SETTLE_MS);
      }
    });
    return () => {
      forget();
      clearTimeout(timer);
    };
  }, [session]);
  const status = instance?.status ?? "none";
  const key = isLoaded && instance ? generationId : null;
  const version = `${revision} ${status} ${restarts}`;
  const found = useLoad(key, (signal) => listFailures(client, generationId, signal), version);
  const diagnosis = useLoad(key, (signal) => readDiagnosis(client, generationId, signal), version);
  return {
    page: found.value,
    diagnosis: diagnosis.value,
    problem: found.problem,
    state: isLoaded ? status : null,
    revision,
    reloads: restarts,
    refresh: () => setRevision((before) => before + 1),
  };
}
