import type { PreviewClient } from "../api/client";
import type { Problem } from "../api/problem";
import { type Diagnosis, type FailurePage, listFailures, readDiagnosis } from "../api/failures";
import type { LogLine, PreviewState } from "../api/types";
import { useNewLines } from "../logs/useNewLines";
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

const isError = (line: LogLine): boolean => line.level === "ERROR";

/** The failures of a generation's preview; read again when its log has a new error, and when the preview has changed. */
export function useFailures(client: PreviewClient, generationId: string): Failures {
  const { instance, isLoaded } = usePreview(generationId, { client, poll: false });
  const session = useLogSession(generationId, { client });
  const { restarts } = useLogSnapshot(session);
  const [revision, refresh] = useNewLines(session, isError);
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
    refresh,
  };
}
